//! Closing lines of test runs, read so that one line can sum them up.

use std::fmt;
use std::ops::AddAssign;

/// Tests that passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    /// Sums the closing lines of nextest (`Summary [..] .. tests run: ..`) and of the built-in runner
    /// (`test result: ..`) found in `output`.
    pub(crate) fn read(output: &str) -> Self {
        let mut counts = Self::default();
        for line in output.lines().filter(|line| is_closing_line(line)) {
            // A killed test is reported apart from the failed ones.
            counts += Self {
                passed: number_before(line, " passed"),
                failed: number_before(line, " failed")
                    + number_before(line, " timed out")
                    + number_before(line, " exec failed"),
            };
        }
        counts
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The closing lines of runs that had tests, as they were written.
pub(crate) fn closing_lines(output: &str) -> Vec<String> {
    let has_tests = |line: &&str| Counts::read(line) != Counts::default();
    output.lines().filter(has_tests).map(|line| line.trim().to_owned()).collect()
}

fn is_closing_line(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("test result: ") || (line.starts_with("Summary [") && line.contains(" run: "))
}

/// The number that ends right before the first `unit` in `line`; 0 when there is none.
fn number_before(line: &str, unit: &str) -> u64 {
    let Some(end) = line.find(unit) else { return 0 };
    let digits = line[..end].chars().rev().take_while(char::is_ascii_digit).count();
    line[end - digits..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_summed() {
        let output = "   PASS [ 0.0s] x 7 passed\n     Summary [   0.029s] 12 tests run: 9 passed (1 slow), 2 failed, 1 timed out, 3 skipped\n\
            test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(Counts::read(output), Counts { passed: 13, failed: 3 });
        let empty = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(closing_lines(&format!("{output}{empty}")).len(), 2);
        assert_eq!(Counts::read(output).to_string(), "13 passed, 3 failed");
    }

    #[test]
    fn a_cancelled_run_still_counts() {
        let output = "     Summary [   0.4s] 3/30 tests run: 2 passed, 1 failed, 0 skipped\n";
        assert_eq!(Counts::read(output), Counts { passed: 2, failed: 1 });
    }

    #[test]
    fn other_text_counts_nothing() {
        assert_eq!(Counts::read("5 passed\nSummary of failed things\n"), Counts::default());
    }
}
