//! Scans of small snippets.

use super::{Function, braced, code_only, functions, test_items, word_positions};

#[test]
fn comments_and_literals_are_blanked_in_place() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("a /* x /* y */ z */ b", "a                   b"),
        ("f(\"{\") + 1", "f(   ) + 1"),
        (r#"f("\"{")"#, "f(     )"),
        ("r#\"{\"# x", "       x"),
        ("br\"{\" x", "      x"),
        ("match c { '{' => 1, '\\'' => 2 }", "match c {     => 1,      => 2 }"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("let r = 1; for_r\"x\"", "let r = 1; for_r   "),
        ("r#type", "r#type"),
        ("\"open", "     "),
    ];
    for (text, expected) in cases {
        assert_eq!(code_only(text), expected, "text={text:?}");
    }
}

#[test]
fn words_stand_alone() {
    assert_eq!(word_positions("libp2p::x my_libp2p libp2p_y (libp2p)", "libp2p"), [0, 30]);
}

#[test]
fn a_body_is_found_behind_array_types_and_missed_before_a_semicolon() {
    assert_eq!(braced("fn f(x: [u8; 3]) { { } }", 0), Some(17..24));
    assert_eq!(braced("fn f(); { }", 0), None);
    assert_eq!(braced("fn f() {", 0), None);
}

#[test]
fn functions_are_measured_from_name_to_brace() {
    let code =
        "fn a() {\n}\ntrait T { fn b(); }\nfn c()\n{\n  fn d() {}\n}\ntype F = fn(u8) -> u8;\n";
    let named = |name: &str, line, line_count| Function { name: name.into(), line, line_count };
    assert_eq!(functions(code), [named("a", 1, 2), named("c", 4, 4), named("d", 6, 1)]);
}

#[test]
fn test_items_with_a_body_are_found() {
    let code = "a\n#[cfg(test)]\nmod tests;\nb\n#[cfg(test)]\nmod t { }\n";
    let found = test_items(code);
    assert_eq!(found.len(), 1);
    assert_eq!(&code[found[0].clone()], "#[cfg(test)]\nmod t { }");
}
