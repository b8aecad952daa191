//! Splits the text of a zone file into entries: lines, or several lines joined by parentheses.

use crate::rdata_text::Word;

/// Most words in an entry. The longest useful one is a TXT record of 65,535 empty strings.
const MAX_WORDS: usize = 1 << 17;

/// Bytes that end a word without quotes, or are special in it.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = b" \t\r\n;\"()\\";
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
};

/// The properties of an entry besides its words.
#[derive(Debug)]
pub struct Entry {
    /// The line where it starts, from 1.
    pub line: u32,
    /// True if it starts with a blank: the owner is omitted.
    pub indented: bool,
    /// The line of an error, and its description.
    pub fault: Option<(u32, String)>,
    /// True if its parenthesis is never closed: the lines after it may belong to it.
    pub unclosed: bool,
}

impl Entry {
    /// Records a fault, unless there is one already.
    fn fail(&mut self, line: u32, why: &str) {
        self.fault.get_or_insert_with(|| (line, why.into()));
    }
}

/// The position of an opening parenthesis.
struct Open {
    at: usize,
    line: u32,
    words: usize,
}

/// Splits a text into entries.
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
}

impl<'a> Lexer<'a> {
    /// Creates a lexer at the start of a text.
    pub fn new(text: &'a [u8]) -> Lexer<'a> {
        // Some editors begin UTF-8 with a byte order mark.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Lexer { text, at: 0, line: 1 }
    }

    /// Returns the next entry that has words or a fault, and fills `words` with its words.
    pub fn next(&mut self, words: &mut Vec<Word<'a>>) -> Option<Entry> {
        words.clear();
        let mut entry = self.begin();
        let mut open = None;
        loop {
            match self.text.get(self.at) {
                None => return self.end(entry, words, open),
                Some(b'\n') => {
                    self.at += 1;
                    self.line += 1;
                    if open.is_some() {
                        continue;
                    }
                    if !words.is_empty() || entry.fault.is_some() {
                        return Some(entry);
                    }
                    entry = self.begin();
                }
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b';') => self.skip_line(),
                Some(b'"') => self.quoted(words, &mut entry),
                // Parentheses do not nest: the previous one is not closed.
                Some(b'(') if open.is_some() => return self.end(entry, words, open),
                Some(b'(') => {
                    let (at, line) = (self.at, self.line);
                    open = Some(Open { at, line, words: words.len() });
                    self.at += 1;
                }
                Some(b')') => {
                    if open.take().is_none() {
                        entry.fail(self.line, "unmatched parenthesis ), expected ( before it");
                    }
                    self.at += 1;
                }
                Some(_) => self.plain(words, &mut entry),
            }
        }
    }

    /// Starts an entry at the current position.
    fn begin(&self) -> Entry {
        let indented = matches!(self.text.get(self.at), Some(b' ' | b'\t'));
        Entry { line: self.line, indented, fault: None, unclosed: false }
    }

    /// Ends an entry at the end of the text, or in an open parenthesis.
    ///
    /// In a parenthesis, reading continues on the line after it, so that only that line is lost.
    fn end(
        &mut self, mut entry: Entry, words: &mut Vec<Word<'a>>, open: Option<Open>,
    ) -> Option<Entry> {
        let Some(open) = open else {
            return (!words.is_empty() || entry.fault.is_some()).then_some(entry);
        };
        // A fault on a later line is found again when that line is read.
        entry.fault = entry.fault.filter(|fault| fault.0 <= open.line);
        entry.fail(
            open.line,
            "parenthesis ( is not closed, expected ) before the next ( or the end",
        );
        entry.unclosed = true;
        words.truncate(open.words);
        self.at = open.at;
        self.skip_line();
        self.at = self.text.len().min(self.at + 1);
        self.line = open.line + 1;
        Some(entry)
    }

    /// Skips to the end of the line.
    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }

    /// Reads a word without quotes.
    fn plain(&mut self, words: &mut Vec<Word<'a>>, entry: &mut Entry) {
        let start = self.at;
        loop {
            let rest = &self.text[self.at..];
            let length = rest.iter().position(|&byte| SPECIAL[usize::from(byte)]);
            self.at += length.unwrap_or(rest.len());
            if self.text.get(self.at) != Some(&b'\\') {
                break;
            }
            self.escaped();
        }
        let text = &self.text[start..self.at];
        self.push(Word { text, quoted: false, joined: false }, words, entry);
    }

    /// Skips a backslash and the character after it, unless that ends the line.
    fn escaped(&mut self) {
        self.at += 1;
        if !matches!(self.text.get(self.at), None | Some(b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads a word in quotes.
    fn quoted(&mut self, words: &mut Vec<Word<'a>>, entry: &mut Entry) {
        let joined = self.at > 0 && self.text[self.at - 1] == b'=';
        self.at += 1;
        let start = self.at;
        loop {
            match self.text.get(self.at) {
                Some(b'\\') => self.escaped(),
                None | Some(b'\n' | b'"') => break,
                Some(_) => self.at += 1,
            }
        }
        let text = &self.text[start..self.at];
        self.push(Word { text, quoted: true, joined }, words, entry);
        match self.text.get(self.at) {
            Some(b'"') => self.at += 1,
            _ => entry.fail(self.line, "quote \" is not closed, expected \" on the same line"),
        }
    }

    fn push(&self, word: Word<'a>, words: &mut Vec<Word<'a>>, entry: &mut Entry) {
        if words.len() < MAX_WORDS {
            words.push(word);
        } else {
            entry.fail(self.line, "the record is too long, expected at most 131072 words");
        }
    }
}
