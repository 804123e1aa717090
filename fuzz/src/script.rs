//! Fuzzer's bytes read as a script: choices and values for a sequence of operations.

/// Something that a script happens to.
pub(crate) trait Play {
    /// What there is at the beginning.
    fn begin(script: &mut Script<'_>) -> Self;

    /// The next thing happens, with all that follows from it, and what has to hold is checked.
    fn turn(&mut self, script: &mut Script<'_>);
}

/// Plays `data` to its end.
pub(crate) fn play<P: Play>(data: &[u8]) {
    let mut script = Script::new(data);
    let mut played = P::begin(&mut script);
    while !script.is_finished() {
        played.turn(&mut script);
    }
}

/// What is left of the bytes. When they have run out, everything read is zero.
pub(crate) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) =
            self.rest.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
        self.rest = rest;
        first
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        if bound == 0 { 0 } else { number % bound }
    }

    /// At most `len_max` bytes.
    pub(crate) fn bytes(&mut self, len_max: usize) -> &'a [u8] {
        let len = self.below(len_max + 1).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        bytes
    }
}
