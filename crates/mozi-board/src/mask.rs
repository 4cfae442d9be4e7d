//! Tokens in what people read are masked, in the same length: offsets into a log stay true.

/// What every bearer token of Mozi begins with, up to the letter that says whose it is.
const HEAD: &[u8] = b"mozi_";
/// The longest stretch after the head that is taken for a token.
const LONGEST: usize = 256;
/// How much before a position has to be read so that a token that begins before it is recognised.
pub(crate) const OVERLAP: u64 = 512;

/// Masks a stream of bytes piece by piece. What may be the beginning of a token is held back until it is known.
#[derive(Debug, Default)]
pub(crate) struct Masker {
    /// How many bytes of `mozi_x_` have matched.
    matched: usize,
    /// The letter after the head.
    letter: u8,
    /// How many bytes of the secret part have been masked; the mask goes on while it is below the longest.
    masked: Option<usize>,
}

impl Masker {
    /// The next piece, masked, without what is held back.
    pub(crate) fn next(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + HEAD.len() + 2);
        for &b in piece {
            self.byte(b, &mut out);
        }
        out
    }

    /// What was held back, when nothing follows.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.give_up(&mut out);
        out
    }

    fn give_up(&mut self, out: &mut Vec<u8>) {
        out.extend(HEAD.iter().take(self.matched));
        if self.matched > HEAD.len() {
            out.push(self.letter);
        }
        self.matched = 0;
    }

    fn byte(&mut self, b: u8, out: &mut Vec<u8>) {
        if let Some(n) = self.masked {
            if b.is_ascii_alphanumeric() && n < LONGEST {
                self.masked = Some(n + 1);
                out.push(b'*');
                return;
            }
            self.masked = None;
        }
        if self.matched < HEAD.len() {
            if HEAD.get(self.matched) == Some(&b) {
                self.matched += 1;
                return;
            }
        } else if self.matched == HEAD.len() {
            if matches!(b, b'a' | b'u' | b'r') {
                self.letter = b;
                self.matched += 1;
                return;
            }
        } else if b == b'_' {
            out.extend_from_slice(HEAD);
            out.extend([self.letter, b'_']);
            self.matched = 0;
            self.masked = Some(0);
            return;
        }
        self.give_up(out);
        if HEAD.first() == Some(&b) {
            self.matched = 1;
        } else {
            out.push(b);
        }
    }
}

/// A whole text, masked.
pub(crate) fn text(text: &str) -> String {
    let mut masker = Masker::default();
    let mut out = masker.next(text.as_bytes());
    out.extend(masker.rest());
    // Only ASCII letters and digits were replaced, by ASCII: what was UTF-8 still is.
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_masked_in_the_same_length() {
        assert_eq!(text("a mozi_a_0aZ9, b"), "a mozi_a_****, b");
        assert_eq!(text("mozi_u_1mozi_r_2"), "mozi_u_*****_r_2");
        assert_eq!(
            text("mozi_x_1 mozi_ mozi_a mmozi_a_1 墨子mozi_a_1墨"),
            "mozi_x_1 mozi_ mozi_a mmozi_a_* 墨子mozi_a_*墨"
        );
        assert_eq!(text("mozi_session_id mozimozi_r_9"), "mozi_session_id mozimozi_r_*");
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        let whole = b"x mozi_a_abcdef012345 mozi_am mozi_r_77 momozi_u_3";
        let expected = text(std::str::from_utf8(whole).unwrap()).into_bytes();
        assert_eq!(expected.len(), whole.len());
        for size in 1..whole.len() {
            let mut masker = Masker::default();
            let mut out: Vec<u8> = whole.chunks(size).flat_map(|c| masker.next(c)).collect();
            out.extend(masker.rest());
            assert_eq!(out, expected, "in pieces of {size}");
        }
    }
}
