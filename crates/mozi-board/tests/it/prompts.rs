//! Prompts: the whole text in both languages, and what may never happen to it.

mod board;
mod limits;
mod markdown;
mod pages;
mod shell;
mod templates;
