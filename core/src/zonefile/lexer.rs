//! Splits the text of a zone file into entries: lines, or several lines joined by parentheses or quotes.
//!
//! A line ends in LF, CR LF, or CR. Only LF ends a comment, as in other servers.

use crate::rdata_text::Word;

/// Maximum words in an entry. The longest useful one is a TXT record of 65,535 empty strings.
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

/// The position of an opening parenthesis or quote.
#[derive(Clone, Copy)]
struct Open {
    at: usize,
    line: u32,
    words: usize,
}

/// The entry that is being read.
struct Draft<'w, 'a> {
    entry: Entry,
    words: &'w mut Vec<Word<'a>>,
    /// The parenthesis that is open.
    parenthesis: Option<Open>,
    /// The first string that spans lines.
    spanning: Option<Open>,
}

/// Splits a text into entries.
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    /// The line of a comment with a CR that ends no line, and text after it.
    cr_comment: Option<u32>,
}

impl<'a> Lexer<'a> {
    /// Creates a lexer at the start of a text.
    pub fn new(text: &'a [u8]) -> Lexer<'a> {
        // Some editors begin UTF-8 with a byte order mark.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Lexer { text, at: 0, line: 1, cr_comment: None }
    }

    /// Returns the next entry that has words or a fault, and fills `words` with its words.
    pub fn next(&mut self, words: &mut Vec<Word<'a>>) -> Option<Entry> {
        words.clear();
        let entry = self.begin();
        let mut draft = Draft { entry, words, parenthesis: None, spanning: None };
        loop {
            match self.text.get(self.at) {
                None => return self.end(draft),
                Some(b'\n' | b'\r') => {
                    self.end_line();
                    if draft.parenthesis.is_some() {
                        continue;
                    }
                    if !draft.words.is_empty() || draft.entry.fault.is_some() {
                        return Some(draft.entry);
                    }
                    draft.entry = self.begin();
                }
                Some(b' ' | b'\t') => self.at += 1,
                Some(b';') => self.comment(),
                Some(b'"') => self.quoted(&mut draft),
                // Parentheses do not nest: the previous one is not closed.
                Some(b'(') if draft.parenthesis.is_some() => return self.end(draft),
                Some(b'(') => {
                    draft.parenthesis = Some(self.here(draft.words));
                    self.at += 1;
                }
                Some(b')') => {
                    if draft.parenthesis.take().is_none() {
                        draft
                            .entry
                            .fail(self.line, "unmatched parenthesis ), expected ( before it");
                    }
                    self.at += 1;
                }
                Some(_) => self.plain(&mut draft),
            }
        }
    }

    /// Returns the line of the first comment since the last call that has text after a CR.
    pub fn take_cr_comment(&mut self) -> Option<u32> {
        self.cr_comment.take()
    }

    /// Starts an entry at the current position.
    fn begin(&self) -> Entry {
        let indented = matches!(self.text.get(self.at), Some(b' ' | b'\t'));
        Entry { line: self.line, indented, fault: None, unclosed: false }
    }

    /// Ends an entry at the end of the text, or in an open parenthesis.
    ///
    /// In a parenthesis, reading continues on the line after it, so that only that line is lost.
    fn end(&mut self, draft: Draft<'_, 'a>) -> Option<Entry> {
        let Draft { mut entry, words, parenthesis, .. } = draft;
        let Some(open) = parenthesis else {
            return (!words.is_empty() || entry.fault.is_some()).then_some(entry);
        };
        self.go_back(open, &mut entry, words);
        entry.fail(
            open.line,
            "parenthesis ( is not closed, expected ) before the next ( or the end",
        );
        entry.unclosed = true;
        self.skip_until(|byte| matches!(byte, b'\n' | b'\r' | b';'));
        if self.text.get(self.at) == Some(&b';') {
            self.skip_until(|byte| byte == b'\n');
        }
        self.end_line();
        Some(entry)
    }

    /// Returns the current position.
    fn here(&self, words: &[Word]) -> Open {
        Open { at: self.at, line: self.line, words: words.len() }
    }

    /// Continues at an earlier position of the entry.
    fn go_back(&mut self, open: Open, entry: &mut Entry, words: &mut Vec<Word<'a>>) {
        // A fault on a later line is found again when that line is read.
        entry.fault.take_if(|fault| fault.0 > open.line);
        self.cr_comment.take_if(|line| *line > open.line);
        words.truncate(open.words);
        self.at = open.at;
        self.line = open.line;
    }

    /// Skips to a byte, or to the end of the text.
    fn skip_until(&mut self, is_end: impl Fn(u8) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&byte| is_end(byte)).unwrap_or(rest.len());
    }

    /// Skips the end of a line: LF, CR LF, or CR; nothing at the end of the text.
    fn end_line(&mut self) {
        let length = match self.text[self.at..] {
            [b'\r', b'\n', ..] => 2,
            [_, ..] => 1,
            [] => return,
        };
        self.at += length;
        self.line += 1;
    }

    /// Skips a comment, which only LF ends.
    fn comment(&mut self) {
        let start = self.at;
        self.skip_until(|byte| byte == b'\n');
        let comment = &self.text[start..self.at];
        if let Some(at) = comment.iter().position(|&byte| byte == b'\r')
            && !comment[at..].trim_ascii().is_empty()
        {
            self.cr_comment.get_or_insert(self.line);
        }
    }

    /// Reads a word without quotes.
    fn plain(&mut self, draft: &mut Draft<'_, 'a>) {
        let start = self.at;
        loop {
            self.skip_until(|byte| SPECIAL[usize::from(byte)]);
            if self.text.get(self.at) != Some(&b'\\') {
                break;
            }
            self.at += 1;
            // A backslash at the end of a line escapes nothing.
            if !matches!(self.text.get(self.at), None | Some(b'\n' | b'\r')) {
                self.at += 1;
            }
        }
        let text = &self.text[start..self.at];
        self.push(Word { text, quoted: false, joined: false }, draft);
    }

    /// Reads a word in quotes, which may span lines (RFC 1035 section 5.1).
    ///
    /// If the quote is not closed, reading continues at the next line, so that only its line is lost. After
    /// a string that spans lines, that is the next line of this string: its quotes were paired wrongly.
    fn quoted(&mut self, draft: &mut Draft<'_, 'a>) {
        let open = self.here(draft.words);
        let joined = self.at > 0 && self.text[self.at - 1] == b'=';
        let start = self.at + 1;
        // Around a string that spans lines are delimiters. If not, its quotes belong to two strings, each
        // with one quote missing.
        let begins = joined || self.at == 0 || is_delimiter(self.text.get(self.at - 1));
        if let Some(end) = self.find_quote(start)
            && (self.line == open.line || begins && is_delimiter(self.text.get(end + 1)))
        {
            if self.line > open.line {
                draft.spanning.get_or_insert(open);
            }
            self.at = end + 1;
            return self.push(Word { text: &self.text[start..end], quoted: true, joined }, draft);
        }
        let open = draft.spanning.take().map_or(open, |spanning| {
            // What closes the parenthesis is as uncertain as the quotes.
            draft.entry.unclosed = draft.parenthesis.take().is_some();
            spanning
        });
        self.go_back(open, &mut draft.entry, draft.words);
        draft.entry.fail(open.line, "quote \" is not closed, expected \" after the text");
        self.skip_until(|byte| matches!(byte, b'\n' | b'\r'));
        // It may be the owner. An empty one is invalid, so the lines after it do not inherit it.
        self.push(Word { text: b"", quoted: true, joined: false }, draft);
    }

    /// Returns the position of the next quote that is not escaped, and counts the lines before it.
    fn find_quote(&mut self, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            match self.text.get(at)? {
                b'"' => return Some(at),
                b'\n' => self.line += 1,
                b'\r' if self.text.get(at + 1) != Some(&b'\n') => self.line += 1,
                b'\\' if matches!(self.text.get(at + 1), Some(b'"' | b'\\')) => at += 1,
                _ => {}
            }
            at += 1;
        }
    }

    fn push(&self, word: Word<'a>, draft: &mut Draft<'_, 'a>) {
        if draft.words.len() < MAX_WORDS {
            draft.words.push(word);
        } else {
            draft.entry.fail(self.line, "the record is too long, expected at most 131072 words");
        }
    }
}

/// Returns whether a byte separates words. None is the end of the text.
fn is_delimiter(byte: Option<&u8>) -> bool {
    matches!(byte, None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')'))
}
