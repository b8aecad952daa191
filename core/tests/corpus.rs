//! Runs the fuzz targets on the inputs in their corpus, as regression tests.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

fn run(name: &str) {
    let (_, target) = fuzz::TARGETS.iter().find(|target| target.0 == name).expect("a fuzz target");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut inputs: Vec<_> =
        fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    for input in inputs {
        // Shown if the target panics.
        println!("{}", input.display());
        target(&fs::read(&input).unwrap());
    }
}

#[test]
fn apply() {
    run("apply");
}

#[test]
fn proxy() {
    run("proxy");
}

#[test]
fn query() {
    run("query");
}

#[test]
fn zonefile() {
    run("zonefile");
}
