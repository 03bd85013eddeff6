//! The length an answer was explicitly asked to have: "in two sentences", "500 Wörter", "a list of 10 names".

use crate::hash::ConstMap;

/// Output tokens per unit asked for. Words of European languages are about 1.35 tokens (o200k, on our own samples of
/// English, German and French); the rest are usual lengths of such a unit in answers.
const UNITS: &[(f32, &str)] = &[
    (
        1.35,
        "word words mot mots wort worte wortern worter palabra palabras parola parole palavra palavras woorden слов слова ord",
    ),
    (0.3, "character characters zeichen caracteres caracteri caratteri letters"),
    (
        28.0,
        "sentence sentences satz satze satzen phrase phrases frase frases frasi zin zinnen zdaniach предложениях предложения",
    ),
    (12.0, "line lines zeile zeilen ligne lignes linea lineas linha linhas"),
    (
        110.0,
        "paragraph paragraphs absatz absatze absatzen paragraphe paragraphes parrafo parrafos paragrafi paragrafos",
    ),
    (650.0, "page pages seite seiten pagina paginas"),
    (
        30.0,
        "bullet bullets point points item items idea ideas example examples reason reasons tip tips step steps fact \
        facts question questions ways things punkte punkten beispiele ideen grunde fragen tipps exemples idees raisons \
        questions conseils ejemplos ideas razones preguntas consejos esempi motivi domande exemplos",
    ),
    (
        6.0,
        "name names title titles slogans taglines headlines keywords hashtags namen titel noms titres nombres nomi nomes",
    ),
];

/// Numbers written as words.
const NUMBERS: &[(f32, &str)] = &[
    (1.0, "one a single ein einem einen eine un une una uno um uma een"),
    (2.0, "two zwei deux dos due dois duas twee"),
    (3.0, "three drei trois tres tre drie"),
    (4.0, "four vier quatre cuatro quattro quatro"),
    (5.0, "five funf cinq cinco cinque vijf"),
    (6.0, "six sechs seis sei zes"),
    (7.0, "seven sieben sept siete sette sete zeven"),
    (8.0, "eight acht huit ocho otto oito"),
    (9.0, "nine neun neuf nueve nove negen"),
    (10.0, "ten zehn dix diez dieci dez tien"),
];

/// Units of languages without spaces, written right after the number.
const JOINED: &[(f32, &str)] = &[
    (1.0, "字"),
    (0.6, "文字"),
    (28.0, "句"),
    (30.0, "文"),
    (28.0, "문장"),
    (0.8, "자"),
    (30.0, "つ"),
    (30.0, "个"),
];

/// Words that may stand between a number and its unit.
const BETWEEN_LIMIT: usize = 2;
/// No single request asks for more than this.
const TOKENS_LIMIT: f32 = 20_000.0;
/// The length of "a" unit counts only for units one asks for singly: sentence, paragraph, word, line, page.
const SINGLE: [&str; 28] = [
    "word",
    "sentence",
    "paragraph",
    "line",
    "page",
    "wort",
    "satz",
    "absatz",
    "zeile",
    "seite",
    "mot",
    "phrase",
    "paragraphe",
    "ligne",
    "palabra",
    "frase",
    "parrafo",
    "linea",
    "pagina",
    "parola",
    "palavra",
    "zin",
    "words",
    "sentences",
    "lines",
    "paragraphs",
    "pages",
    "linha",
];

#[derive(Clone, Copy)]
enum Role {
    Number(f32),
    /// Tokens per unit, and whether "a" unit is a length.
    Unit(f32, bool),
}

/// The words of the tables by what they are: built once.
pub(super) struct Lengths {
    roles: ConstMap<&'static str, Role>,
}

impl Lengths {
    pub(super) fn new() -> Self {
        let numbers = NUMBERS.iter().flat_map(|(count, words)| {
            words.split_ascii_whitespace().map(|word| (word, Role::Number(*count)))
        });
        let units = UNITS.iter().flat_map(|(tokens, words)| {
            words.split_ascii_whitespace().map(|word| (word, Role::Unit(*tokens, SINGLE.contains(&word))))
        });
        Self { roles: numbers.chain(units).collect() }
    }

    /// Tokens of the answer that the folded question asks for.
    pub(super) fn asked_tokens(&self, folded: &str) -> Option<f32> {
        // The number seen last, whether it was written as a word, and the words passed since.
        let mut number: Option<(f32, bool, usize)> = None;
        for word in folded.split(|c: char| !(c.is_alphanumeric() || c == ',' || c == '.')) {
            let word = word.trim_matches([',', '.']);
            let digits = word.find(|c: char| c.is_ascii_digit());
            if let Some(tokens) = digits.and_then(|at| joined(word.get(at..)?)) {
                return Some(tokens.min(TOKENS_LIMIT));
            }
            let role = if digits == Some(0) { figures(word) } else { self.roles.get(word).copied() };
            number = match (number, role) {
                (_, Some(Role::Number(count))) => Some((count, digits.is_none(), 0)),
                (Some((count, written, _)), Some(Role::Unit(tokens, single))) => {
                    if !written || count > 1.0 || single {
                        return Some((count * tokens).min(TOKENS_LIMIT));
                    }
                    None
                }
                (Some(kept), None) if word.is_empty() => Some(kept),
                (Some((count, written, passed)), None) if passed < BETWEEN_LIMIT => {
                    Some((count, written, passed + 1))
                }
                _ => None,
            };
        }
        None
    }
}

/// A number in figures. Very large ones are no lengths.
fn figures(word: &str) -> Option<Role> {
    let digits: String = word.chars().filter(|c| !matches!(c, ',' | '.')).collect();
    let count: u32 = digits.parse().ok()?;
    (1..=20_000).contains(&count).then_some(Role::Number(count as f32))
}

/// A number with its unit right after it: `100字`.
fn joined(word: &str) -> Option<f32> {
    let digits = word.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = word.split_at(digits);
    let count: u32 = number.parse().ok()?;
    JOINED.iter().find(|(_, unit)| rest.starts_with(unit)).map(|(tokens, _)| count as f32 * tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_as_people_ask_for_them() {
        let lengths = Lengths::new();
        let check = |text: &str, expected: Option<f32>| {
            assert_eq!(lengths.asked_tokens(text), expected, "{text}");
        };
        check("explain it in one sentence", Some(28.0));
        check("an essay of 500 words", Some(675.0));
        check("a 1,000-word essay", Some(1350.0));
        check("give me a list of 10 good names", Some(60.0));
        check("auf funf seiten", Some(3250.0));
        check("en deux phrases simples", Some(56.0));
        check("用100字总结", Some(100.0));
        check("100字以内", Some(100.0));
        check("answer in one word", Some(1.35));
        check("i have one question", None);
        check("what happened in 1984?", None);
        check("what is the capital of france?", None);
        check("99999999 words", None);
        check("", None);
    }
}
