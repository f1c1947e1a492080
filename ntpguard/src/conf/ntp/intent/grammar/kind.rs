//! What may stand at a position of a line, and how often.

/// What may stand at a position of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: the keyword before it takes no value.
    Alone,
    /// A whole number.
    Integer,
    /// A whole number, also one of 32 bits without a sign, or in hexadecimal.
    Unsigned,
    /// Any number.
    Number,
    /// A number with a point or an exponent.
    Double,
    /// 0, 1, `true` or `false`.
    Boolean,
    /// A word that is neither a keyword nor a number, unless the word before demands a string.
    Text,
    /// A key number, or a range `(FIRST ... LAST)`.
    Keys,
    /// A host, optionally preceded by `-4` or `-6`.
    Host,
    /// An option of the table with this name, with its value.
    Option(&'static str),
}

/// How often something may stand there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    /// Once or not at all.
    Maybe,
    /// Any number of times, or not at all.
    Any,
    /// At least once.
    Some,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Alone => "nothing",
            Self::Integer | Self::Unsigned => "a whole number",
            Self::Number => "a number",
            Self::Double => "a number with a point",
            Self::Boolean => "0 or 1",
            Self::Text => "a word",
            Self::Keys => "the number of a key",
            Self::Host => "a host",
            Self::Option(_) => "an option",
        }
    }
}
