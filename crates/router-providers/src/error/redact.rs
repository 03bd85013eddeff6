//! What of a provider's text may reach logs and clients: one short line, no HTML, nothing that looks like a credential.

/// Longest text kept, in bytes.
const MAX_BYTES: usize = 400;

/// Beginnings of the providers' keys, and of header values that hold one.
const KEY_PREFIXES: [&str; 8] = ["sk-", "sk_", "xai-", "gsk_", "AIza", "pk-", "eyJ", "hf_"];

/// A text for people from bytes of the network.
pub fn clean(text: &str) -> String {
    let start = text.trim_start();
    let opening: String = start.chars().take(16).collect::<String>().to_ascii_lowercase();
    if opening.starts_with("<!doctype") || opening.starts_with("<html") || opening.starts_with("<?xml") {
        return "(a web page)".to_owned();
    }
    let mut line = String::with_capacity(start.len().min(MAX_BYTES));
    let mut after_bearer = false;
    for word in start.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        let secret = after_bearer || is_secret(word);
        line.push_str(if secret { "[redacted]" } else { word });
        after_bearer = word.eq_ignore_ascii_case("bearer");
        if line.len() > MAX_BYTES {
            let mut end = MAX_BYTES;
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            line.push('…');
            break;
        }
    }
    line
}

/// A word that is, or holds, a key: a known beginning with something behind it, or a long run of mixed characters.
fn is_secret(word: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
    word.split(|c: char| !inner(c)).any(|run| {
        let prefixed =
            KEY_PREFIXES.iter().any(|prefix| run.starts_with(prefix) && run.len() >= prefix.len() + 6);
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        let upper = run.bytes().filter(u8::is_ascii_uppercase).count();
        let lower = run.bytes().filter(u8::is_ascii_lowercase).count();
        prefixed || (run.len() >= 32 && digits >= 4 && upper >= 4 && lower >= 4)
    })
}
