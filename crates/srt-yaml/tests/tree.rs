//! Texts in, trees and diagnostics out.

#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use srt_yaml::{KeyOrder, Node, Source, Sources, Value, write_yaml};

fn parse(text: &str) -> (Sources, Option<Node>, Vec<srt_yaml::Diagnostic>) {
    let mut sources = Sources::default();
    let file = sources.add(&Source { path: "test.yaml".to_owned(), text: text.to_owned() });
    let mut diagnostics = Vec::new();
    let node = srt_yaml::parse(&sources, file, &mut diagnostics);
    (sources, node, diagnostics)
}

#[track_caller]
fn check(text: &str, expected: &Expect) {
    let (_, node, diagnostics) = parse(text);
    let mut out = String::new();
    for diagnostic in diagnostics {
        out += &diagnostic.render(false);
        out += "\n\n";
    }
    if let Some(node) = node {
        out += &node.to_value().python_repr();
        out += "\n";
    }
    expected.assert_eq(&out);
}

#[test]
fn unclosed_bracket() {
    check(
        "a: [1\n",
        &expect![[r#"
        error[yaml-syntax]: this is not YAML: unclosed bracket '['
         --> test.yaml:1:4
          |
        1 | a: [1
          |    ^

    "#]],
    );
}

#[test]
fn tab_as_indentation() {
    check(
        "a:\n\tb: 1\n",
        &expect![[r#"
        error[yaml-syntax]: this is not YAML: tabs disallowed within this context (block indentation)
         --> test.yaml:2:2
          |
        2 |     b: 1
          |     ^
          |
          = help: indent with spaces: YAML allows no tab there

    "#]],
    );
}

#[test]
fn two_documents() {
    check(
        "a: 1\n---\nb: 2\n",
        &expect![[r#"
        error[yaml-syntax]: a second YAML document starts here
         --> test.yaml:2:1
          |
        2 | ---
          | ^^^
          |
          = help: one file holds one document; split the file at `---`

    "#]],
    );
}

#[test]
fn duplicate_key() {
    check(
        "a: 1\nb: {c: 1, c: 2}\na: 3\n",
        &expect![[r#"
        warning[duplicate-key]: the key `c` is given twice in one mapping; the last value counts
         --> test.yaml:2:11
          |
        2 | b: {c: 1, c: 2}
          |           ^
          |
          = help: remove one of them; the first is on line 2

        warning[duplicate-key]: the key `a` is given twice in one mapping; the last value counts
         --> test.yaml:3:1
          |
        3 | a: 3
          | ^
          |
          = help: remove one of them; the first is on line 1

        {'a': 3, 'b': {'c': 2}}
    "#]],
    );
}

#[test]
fn aliases_and_merge_keys() {
    check(
        "one: &one {a: 1, b: 1}\ntwo: &two {b: 2, c: 2}\nthree:\n  b: 3\n  <<: [*one, *two]\nfour: *two\n",
        &expect![[r#"
            {'one': {'a': 1, 'b': 1}, 'two': {'b': 2, 'c': 2}, 'three': {'b': 3, 'c': 2, 'a': 1}, 'four': {'b': 2, 'c': 2}}
        "#]],
    );
}

#[test]
fn merge_of_a_scalar() {
    check(
        "a: {<<: 1}\n",
        &expect![[r#"
        error[yaml-merge]: `<<` takes a mapping or a list of mappings, not an integer
         --> test.yaml:1:5
          |
        1 | a: {<<: 1}
          |     ^^

    "#]],
    );
}

#[test]
fn alias_inside_its_own_anchor() {
    check(
        "a: &a [*a]\n",
        &expect![[r#"
        error[yaml-syntax]: an alias may not stand inside the node it names
         --> test.yaml:1:8
          |
        1 | a: &a [*a]
          |        ^^

    "#]],
    );
}

#[test]
fn unknown_alias() {
    check(
        "a: *b\n",
        &expect![[r#"
        error[yaml-syntax]: this is not YAML: while parsing node, found unknown anchor
         --> test.yaml:1:4
          |
        1 | a: *b
          |    ^

    "#]],
    );
}

#[test]
fn tags() {
    check(
        "a: !!str 1\nb: !!float 1\nc: !!int '3'\nd: !!null ''\n",
        &expect![[r#"
        {'a': '1', 'b': 1.0, 'c': 3, 'd': None}
    "#]],
    );
    check(
        "a: !env HOME\n",
        &expect![[r#"
        error[yaml-tag]: the tag `!env` cannot be applied to this value
         --> test.yaml:1:9
          |
        1 | a: !env HOME
          |         ^^^^
          |
          = help: remove the tag; quote the value where text is meant

    "#]],
    );
}

#[test]
fn complex_key() {
    check(
        "? [a, b]\n: 1\n",
        &expect![[r#"
        error[yaml-key]: a list or a mapping may not be a key
         --> test.yaml:1:3
          |
        1 | ? [a, b]
          |   ^^^^^^
          |
          = help: quote the key if it is meant as text

    "#]],
    );
}

#[test]
fn control_character() {
    check(
        "a: \u{1}\n",
        &expect![[r#"
        error[yaml-syntax]: the character U+0001 may not stand in YAML
         --> test.yaml:1:4
          |
        1 | a: ␁
          |    ^

    "#]],
    );
    check(
        "a: \"\\0\"\n",
        &expect![[r#"
        error[nul-character]: a value may not contain the character NUL
         --> test.yaml:1:4
          |
        1 | a: "\0"
          |    ^^^^

    "#]],
    );
}

#[test]
fn block_scalar_without_final_line_break() {
    check(
        "a: |\n  one\n  two",
        &expect![[r#"
        {'a': 'one\ntwo'}
    "#]],
    );
}

#[test]
fn not_utf8() {
    let problem = Source::from_bytes("test.yaml".to_owned(), b"a: 1\nb: \xff\xfe\n".to_vec()).unwrap_err();
    expect![[r#"
        error[not-utf8]: the file is not UTF-8 text
         --> test.yaml:2:4
          |
        2 | b: ��
          |    ^
          |
          = help: save the file as UTF-8"#]]
    .assert_eq(&problem.render(false));
}

#[test]
fn aliases_of_aliases_are_bounded() {
    let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let (_, node, diagnostics) = parse(&text);
    assert!(node.is_none());
    assert_eq!(diagnostics[0].code, "yaml-limit");
}

#[test]
fn depth_is_bounded() {
    let (_, node, diagnostics) = parse(&("[".repeat(150) + &"]".repeat(150)));
    assert!(node.is_none());
    assert_eq!(diagnostics[0].code, "yaml-limit");
    let (_, node, _) = parse(&("[".repeat(100_000)));
    assert!(node.is_none());
}

#[test]
fn spans_are_the_bytes_of_values_and_keys() {
    let (sources, node, _) = parse("é: {name: 'a b', list: [1, two]}\n");
    let node = node.unwrap();
    assert_eq!(sources.slice(node.at(&["é", "name"]).unwrap().span), "'a b'");
    let map = node.at(&["é"]).unwrap().as_map().unwrap();
    assert_eq!(sources.slice(map.entry("list").unwrap().key_span), "list");
    assert_eq!(sources.slice(map.get("list").unwrap().span), "[1, two]");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("NaN is not equal to itself", |it| !it.is_nan()).prop_map(Value::Float),
        "[ -~\\n\\t]{0,12}".prop_map(Value::String),
        "\\PC{0,8}".prop_map(Value::String),
        "[-0-9.:eExobyn_]{1,8}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec(("[ -~]{0,8}", inner), 0..5)
                .prop_map(|items| Value::Map(items.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in any_value()) {
        let text = write_yaml(&value, KeyOrder::Kept);
        let (_, node, diagnostics) = parse(&text);
        prop_assert!(diagnostics.is_empty(), "{}\n{:?}", text, diagnostics);
        prop_assert_eq!(node.unwrap().to_value(), value, "{}", text);
    }

    #[test]
    fn any_text_is_a_tree_or_a_diagnostic(text in "[ a:\\-\\[\\]{},&*!|>'\"#%\\n\\t~<0-9é]{0,60}") {
        let (_, node, diagnostics) = parse(&text);
        prop_assert!(node.is_some() || !diagnostics.is_empty());
        for diagnostic in diagnostics {
            prop_assert!(!diagnostic.render(false).is_empty());
        }
    }
}
