//! What output goes through.

use super::super::Scope;
use super::super::transforms::Rim;
use super::templates::state;
use super::{Still, definition};

/// Writes nothing and ends nothing.
struct Paper(Vec<(String, Vec<u8>, bool)>);

impl Rim for Paper {
    fn guarded(
        &mut self,
        work: Box<dyn FnOnce() -> Result<String, String> + Send>,
    ) -> Result<String, String> {
        work()
    }

    fn write(&mut self, file: &str, bytes: &[u8], replace: bool) -> Result<(), String> {
        self.0.push((file.to_owned(), bytes.to_vec(), replace));
        Ok(())
    }
}

#[test]
fn output_goes_through_transforms() {
    for (transform, input, output) in [
        ("query: .a", "{\"a\":1}", "1\n"),
        ("jq: {query: '.{{ .Flags.list | trunc 1 }}'}", "{\"a\":\"x\"}", "x\n"),
        ("to_json: {}", "b: 1\na: 2\n", "{\"a\":2,\"b\":1}"),
        ("to_yaml: {}", "{\"a\":[1]}", "a:\n- 1\n"),
        ("template: {contents: '{{ .Input.a | upper }}{{ .Arguments.n }}'}", "{\"a\":\"x\"}", "X3"),
        ("template: {source: '/{{ \"there\" }}'}", "{}", "text"),
        (
            "write_file: {file: '/x/{{ .Arguments.n }}', replace: true, message: 'Wrote {{ .Bytes }}'}",
            "abc",
            "Wrote 3\n",
        ),
        ("write_file: {file: /x}", "abc", "abc"),
        ("pipeline: [{jq: {query: '.[]'}}, {line_graph: {width: 2, height: 1}}]", "[1,1]", " 1.00 ┼─\n"),
        ("bar_graph: {width: 2, caption: '{{ .Flags.list }}'}", "{\"x\":1}", "a,b\n\n  x: ██ (1)\n"),
    ] {
        let text =
            format!("  - {{name: a, description: d, type: exec, command: x, transform: {{{transform}}}}}\n");
        let definition = definition(&text);
        let transform = definition.commands[0].transform.as_ref().expect("a transform");
        let state = state();
        let mut paper = Paper(vec![]);
        let made = transform.apply(input.to_owned(), &Scope { state: &state, world: &Still }, &mut paper);
        assert_eq!(made.as_deref(), Ok(output), "{text}");
        assert_eq!(paper.0.len(), usize::from(text.contains("write_file")));
    }
}
