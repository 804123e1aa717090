//! Rust source as text whose comments and literals are blanked, so that a plain scan sees code only.
//!
//! Lines and columns stay where they are. That is enough for counting lines, matching braces and looking for
//! words, and costs no parser.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// `text` with every character of comments and literals replaced by a space (line ends stay).
pub(crate) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_or_comment_end(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_or_comment_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => {
            find_from(chars, at, |rest| rest[0] == '\n').unwrap_or(chars.len())
        }
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => quoted_end(chars, at),
        '\'' => char_literal_end(chars, at),
        'r' if !continues_word(chars, at) => raw_string_end(chars, at + 1).unwrap_or(at),
        'b' if !continues_word(chars, at) && next == Some('r') => {
            raw_string_end(chars, at + 2).unwrap_or(at)
        }
        _ => at,
    }
}

fn continues_word(chars: &[char], at: usize) -> bool {
    at > 0 && is_word_char(chars[at - 1])
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find_from(chars: &[char], from: usize, matches: impl Fn(&[char]) -> bool) -> Option<usize> {
    (from..chars.len()).find(|at| matches(&chars[*at..]))
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A quote begins a character literal or a lifetime; a lifetime has no closing quote after one character.
fn char_literal_end(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), Some(_)) => find_from(chars, start + 3, |rest| rest[0] == '\'')
            .map_or(chars.len(), |closing| closing + 1),
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

/// `after` is the place behind the `r`; `None` when no raw string follows (an identifier does).
fn raw_string_end(chars: &[char], after: usize) -> Option<usize> {
    let hashes = chars.get(after..)?.iter().take_while(|c| **c == '#').count();
    if chars.get(after + hashes) != Some(&'"') {
        return None;
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|c| *c == '#')
    };
    Some(
        find_from(chars, after + hashes + 1, closes)
            .map_or(chars.len(), |quote| quote + 1 + hashes),
    )
}

/// Byte ranges of `word` in `code` where it stands alone, not as part of a longer identifier.
pub(crate) fn word_positions(code: &str, word: &str) -> Vec<usize> {
    code.match_indices(word)
        .filter(|(at, found)| {
            let before = code[..*at].chars().next_back();
            let after = code[at + found.len()..].chars().next();
            !before.is_some_and(is_word_char) && !after.is_some_and(is_word_char)
        })
        .map(|(at, _)| at)
        .collect()
}

/// Number of the line, from 1, that holds byte `at`.
pub(crate) fn line_number(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// From the first `{` at or behind `from` to behind its partner; `None` when a `;` comes first or nothing closes.
pub(crate) fn braced(code: &str, from: usize) -> Option<Range<usize>> {
    let mut depth = 0_usize;
    let mut open = None;
    let mut brackets = 0_i32;
    for (offset, c) in code[from..].char_indices() {
        match c {
            '[' | '(' if open.is_none() => brackets += 1,
            ']' | ')' if open.is_none() => brackets -= 1,
            ';' if open.is_none() && brackets == 0 => return None,
            '{' => {
                depth += 1;
                open.get_or_insert(from + offset);
            }
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return open.map(|start| start..from + offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// A function with a body: its name and its lines from `fn` to the closing brace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) line_count: usize,
}

/// Every function with a body in `code`, nested ones too.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    word_positions(code, "fn")
        .into_iter()
        .filter_map(|at| {
            let name: String =
                code[at + 2..].trim_start().chars().take_while(|c| is_word_char(*c)).collect();
            let body = braced(code, at).filter(|_| !name.is_empty())?;
            let line = line_number(code, at);
            Some(Function { name, line, line_count: line_number(code, body.end - 1) - line + 1 })
        })
        .collect()
}

/// Byte ranges of items that exist under `#[cfg(test)]` with a body in this file.
pub(crate) fn test_items(code: &str) -> Vec<Range<usize>> {
    code.match_indices("#[cfg(test)]")
        .filter_map(|(at, attribute)| braced(code, at + attribute.len()).map(|body| at..body.end))
        .collect()
}
