//! How long files and functions may be.

use super::{Finding, Rule};
use crate::rust_text::{functions, line_number, test_items};
use crate::sources::Source;

/// Lines of a file outside its test modules.
pub(super) const FILE_LINES_MAX: usize = 500;
/// Lines of a file that holds only tests.
pub(super) const TEST_FILE_LINES_MAX: usize = 1000;
/// Lines of a function from `fn` to the closing brace.
pub(super) const FUNCTION_LINES_MAX: usize = 70;

pub(super) fn check(source: &Source, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let line_count = production_lines(code);
    let line_count_max =
        if is_test_file(&source.path) { TEST_FILE_LINES_MAX } else { FILE_LINES_MAX };
    if line_count > line_count_max {
        let message =
            format!("{line_count} lines, at most {line_count_max}: split by responsibility");
        findings.push(finding(Rule::FileLines, source, 0, line_count, message));
    }
    for function in
        functions(code).into_iter().filter(|function| function.line_count > FUNCTION_LINES_MAX)
    {
        let message = format!(
            "fn {} has {} lines, at most {FUNCTION_LINES_MAX}",
            function.name, function.line_count
        );
        findings.push(finding(
            Rule::FunctionLines,
            source,
            function.line,
            function.line_count,
            message,
        ));
    }
    findings
}

fn finding(rule: Rule, source: &Source, line: usize, amount: usize, message: String) -> Finding {
    Finding { rule, path: source.path.clone(), line, amount, message }
}

fn production_lines(code: &str) -> usize {
    let test_lines: usize = test_items(code)
        .iter()
        .map(|item| line_number(code, item.end - 1) - line_number(code, item.start) + 1)
        .sum();
    code.lines().count().saturating_sub(test_lines)
}

fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "benches")
}
