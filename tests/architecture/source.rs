//! Rust files as tokens, roughly: enough to see paths, names and attributes, with comments and strings left out.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A name, a `::`, or a single other character.
pub struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
}

/// One file.
pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
    pub all_tokens: Vec<Token>,
    /// Without items under `#[cfg(test)]`.
    pub tokens: Vec<Token>,
    /// Lines without items under `#[cfg(test)]`.
    pub lines: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let all_tokens = tokens(text);
        let tests = test_items(&all_tokens);
        let of_tests: usize =
            tests.iter().map(|item| all_tokens[item.end - 1].line - all_tokens[item.start].line + 1).sum();
        let kept = all_tokens.iter().enumerate();
        let kept = kept.filter(|(at, _)| !tests.iter().any(|item| item.contains(at)));
        let tokens = kept.map(|(_, token)| Token { text: token.text.clone(), line: token.line }).collect();
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            tokens,
            all_tokens,
            lines: text.lines().count() - of_tests,
        }
    }

    /// `src/a/b.rs` is `[a, b]`, `src/a/mod.rs` is `[a]`.
    pub fn module_path(&self) -> Vec<String> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').map(str::to_owned).collect()
    }

    /// Every path that begins with `crate::` or `super::`, from the root of the crate, with its line. A group gives
    /// one path for each of its members.
    pub fn imports(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let begins = at == 0 || self.tokens[at - 1].text != "::";
            let root = match token.text.as_str() {
                "crate" if begins => Vec::new(),
                "super" if begins => self.module_path(),
                _ => continue,
            };
            let mut paths = Vec::new();
            self.use_tree(at, root, &mut paths);
            // `pub(crate)` and a bare `super` name nothing.
            let named = paths.into_iter().filter(|path| !path.is_empty());
            found.extend(named.map(|path| (token.line, path)));
        }
        // Paths that stay within their own module were not imported.
        found.retain(|(_, path)| *path != self.module_path());
        found
    }

    /// Reads the path at a token on from `path`, and returns the place behind it.
    fn use_tree(&self, at: usize, mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        if text(at) == "{" {
            let mut at = at + 1;
            while !matches!(text(at), "}" | "") {
                at = match text(at) {
                    "," => at + 1,
                    _ => self.use_tree(at, path.clone(), found),
                };
            }
            return at + 1;
        }
        match text(at) {
            "crate" | "self" | "*" => {}
            "super" => drop(path.pop()),
            name => path.push(name.to_owned()),
        }
        if text(at + 1) == "::" {
            return self.use_tree(at + 2, path, found);
        }
        found.push(path);
        match text(at + 1) {
            "as" => at + 3,
            // What stands between a path and the next comma of a group can't be read: go on.
            _ => at + 1,
        }
    }

    /// Lines of a function from `fn` to its last brace.
    pub fn function_lines(&self, name: &str) -> Option<usize> {
        let is = |at: usize| self.tokens[at].text == "fn" && self.tokens[at + 1].text == name;
        let start = (0..self.tokens.len().saturating_sub(1)).find(|at| is(*at))?;
        let end = item_end(&self.tokens, start);
        Some(self.tokens[end - 1].line - self.tokens[start].line + 1)
    }
}

/// All Rust files of some folders of the repository, but for files of unit tests under `src`.
pub fn read(folders: &[&str]) -> Vec<Source> {
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(children(&path));
            continue;
        }
        let inside = path.strip_prefix(root()).expect("under the root").to_string_lossy();
        let inside = inside.replace('\\', "/");
        let of_tests =
            inside.starts_with("src/") && (inside.ends_with("/tests.rs") || inside.contains("/tests/"));
        if inside.ends_with(".rs") && inside != "src/lib.rs" && !of_tests {
            let text = fs::read_to_string(&path).expect("a readable file");
            sources.push(Source::new(&inside, &text));
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!sources.is_empty(), "no sources under {}", root().display());
    sources
}

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()))
}

/// What lies in a folder; nothing in one that does not exist.
pub fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.collect()
}

pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Items under `#[cfg(test)]`, attributes and all.
fn test_items(tokens: &[Token]) -> Vec<Range<usize>> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let marked = tokens.windows(mark.len()).enumerate();
    let marked = marked.filter(|(_, window)| window.iter().map(|token| &token.text).eq(mark));
    marked.map(|(start, _)| start..item_end(tokens, start + mark.len())).collect()
}

/// The place behind an item: behind its first `;` or behind the brace that closes its first one.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" => braces += 1,
            "}" => braces -= 1,
            "(" | "[" => others += 1,
            ")" | "]" => others -= 1,
            _ => {}
        }
        let closed = token.text == "}" || token.text == ";";
        if closed && braces == 0 && others == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

fn tokens(text: &str) -> Vec<Token> {
    let (mut rest, mut line, mut tokens) = (text, 1, Vec::new());
    while let Some(first) = rest.chars().next() {
        let (length, is_code) = token_length(rest, first);
        let (word, after) = rest.split_at(length);
        if is_code {
            tokens.push(Token { text: word.to_owned(), line });
        }
        line += word.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Bytes of the token, blank, comment or literal at the start, and whether it is code.
fn token_length(rest: &str, first: char) -> (usize, bool) {
    let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    match first {
        _ if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
        _ if rest.starts_with("/*") => (block_comment(rest), false),
        _ if rest.starts_with("::") => (2, true),
        '"' => (string(rest), false),
        '\'' => (character(rest), false),
        _ if first.is_whitespace() => (first.len_utf8(), false),
        _ if matches!(&rest[..name], "r" | "br" | "cr") && rest[name..].starts_with(['"', '#']) => {
            (name + raw_string(&rest[name..]), false)
        }
        _ if name > 0 => (name, true),
        _ => (first.len_utf8(), true),
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// At the quote or the first `#` of a raw string; a raw name (`r#type`) has no quote behind them.
fn raw_string(rest: &str) -> usize {
    let hashes = rest.find(|c| c != '#').unwrap_or(0);
    if !rest[hashes..].starts_with('"') {
        return hashes;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let from = hashes + 1;
    rest[from..].find(&end).map_or(rest.len(), |at| from + at + end.len())
}

/// A character literal, or only the quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        // Behind the backslash and what it escapes.
        (Some((_, '\\')), Some(_)) => rest[3..].find('\'').map_or(rest.len(), |at| at + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}
