//! What travels, as others see it.

#[cfg(test)]
mod body;
#[cfg(test)]
mod client;
#[cfg(test)]
mod query;
#[cfg(test)]
mod runner;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod shapes;
#[cfg(test)]
mod sse;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod wire;
