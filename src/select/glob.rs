//! [`Glob`]: one component of a pattern, matched against one name. Both are bytes: a name need not be UTF-8, nor need the
//! pattern that leaves it out.
//!
//! `*` stands for any bytes, `?` for one byte, `[a-z]` for one byte of a set, which `!` or `^` turns round and which knows the
//! POSIX classes such as `[:digit:]`; a backslash takes the next byte as it is. Letters beyond ASCII are several bytes each,
//! so `?` is not one of them, and they have no case.

/// One component of a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Glob {
    /// These bytes.
    Literal(Box<[u8]>),
    /// Anything that ends with these bytes: what most patterns with a star are.
    Suffix(Box<[u8]>),
    /// Anything else.
    Tokens(Box<[Token]>),
}

/// What a glob is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// This byte.
    Byte(u8),
    /// `?`
    AnyByte,
    /// `*`
    Star,
    /// A byte of a set.
    Class(Box<ByteSet>),
}

/// Some of the 256 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    pub(super) fn inverted(&self) -> Self {
        Self(self.0.map(|bits| !bits))
    }

    /// The same with each letter in both its cases.
    pub(super) fn of_both_cases(&self) -> Self {
        let mut both = self.clone();
        for letter in
            (b'a'..=b'z').filter(|letter| self.contains(*letter) || self.contains(letter.to_ascii_uppercase()))
        {
            both.insert(letter);
            both.insert(letter.to_ascii_uppercase());
        }
        both
    }
}

impl Glob {
    /// Of these tokens.
    pub(super) fn of(tokens: Vec<Token>) -> Self {
        let bytes = |tokens: &[Token]| {
            let byte = |token: &Token| if let Token::Byte(byte) = token { Some(*byte) } else { None };
            tokens.iter().map(byte).collect::<Option<Box<[u8]>>>()
        };
        if let Some(literal) = bytes(&tokens) {
            return Self::Literal(literal);
        }
        match tokens.split_first() {
            Some((Token::Star, rest)) if let Some(suffix) = bytes(rest) => Self::Suffix(suffix),
            _ => Self::Tokens(tokens.into()),
        }
    }

    /// Whether it stands for the whole of `name`.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => **literal == *name,
            Self::Suffix(suffix) => name.ends_with(suffix),
            Self::Tokens(tokens) => matches(tokens, name),
        }
    }
}

/// Each star takes as little as it can, and only the last one met ever has to take more: what an earlier one could take
/// instead, the later one can as well. So the time is bounded by the product of both lengths.
fn matches(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star = None;
    loop {
        let fits = match tokens.get(token) {
            Some(Token::Star) => {
                star = Some((token + 1, at));
                token += 1;
                continue;
            }
            None if at == name.len() => return true,
            None => false,
            Some(one) => name.get(at).is_some_and(|&byte| match one {
                Token::Byte(wanted) => *wanted == byte,
                Token::Class(set) => set.contains(byte),
                Token::AnyByte | Token::Star => true,
            }),
        };
        if fits {
            (token, at) = (token + 1, at + 1);
            continue;
        }
        match star {
            Some((behind, from)) if from < name.len() => {
                star = Some((behind, from + 1));
                (token, at) = (behind, from + 1);
            }
            _ => return false,
        }
    }
}
