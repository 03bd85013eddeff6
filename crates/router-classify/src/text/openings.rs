//! Words that open an instruction, a question or a continuation, in the languages most requests come in. Only used to
//! choose between paragraphs; what a question is about is told by the feature tables.

/// First words of instructions and questions, folded to lower case.
const ASKING: &str = "what who whom whose when where why which how is are was were do does did can could would should \
    will please write explain summarize summarise translate extract list give tell show find fix make create generate \
    describe compare analyze analyse identify classify categorize rewrite rephrase review draft convert calculate \
    compute solve prove implement add remove refactor help suggest provide answer check use using based read \
    correct improve shorten turn put i'd i need want let's \
    was wer wann wo warum wie welche welcher welches bitte schreibe schreib erkläre fasse übersetze extrahiere nenne \
    gib finde erstelle vergleiche analysiere prüfe ist sind kannst können ich \
    que qu'est quel quelle quels quelles qui quand où pourquoi comment combien est peux peut pouvez écris rédige \
    rédigez résume résumez traduis traduisez explique expliquez extrais donne donnez liste compare analyse veuillez \
    qué quién cuándo dónde cómo cuál cuáles cuánto escribe redacta resume traduce explica extrae dame haz compara \
    analiza puedes por cosa chi quando dove perché come quale scrivi riassumi traduci spiega estrai puoi \
    quem onde como qual escreva resuma traduza explique extraia \
    wat wie waar wanneer hoe schrijf vertaal leg geef kun \
    что кто когда где почему как какой какая какие напиши объясни переведи перескажи составь найди сравни можешь \
    ne nasıl neden kim nerede yaz çevir özetle açıkla co kto gdzie kiedy dlaczego jak napisz przetłumacz streść";

/// First words and phrases of a question that goes on from the one before.
const CONTINUING: &str = "and|now|also|but|or|then|so|same|again|instead|what about|how about|why|why not|really|are you sure|\
    another|more|shorter|longer|continue|go on|ok|okay|yes|no|make it|and what|the second|the first|the last|it|that|this|\
    und|jetzt|auch|aber|oder|noch|warum|kürzer|länger|weiter|mach|et|maintenant|aussi|mais|ou|encore|pourquoi|plus|\
    y|ahora|también|pero|o|otra|más|e|ora|anche|ma|agora|mas|en|nu|maar|a|и|а|теперь|ещё|почему|\
    それ|では|じゃあ|もっと|那|再|现在|还有|그럼|그리고|다시";

/// Marks in scripts without spaces that a sentence asks or instructs.
const ASKING_MARKS: [&str; 14] = [
    "吗",
    "什么",
    "如何",
    "为什么",
    "请",
    "帮我",
    "ですか",
    "ください",
    "教えて",
    "して。",
    "주세요",
    "해줘",
    "인가요",
    "뭐",
];

/// Words with which an instruction points at the text that comes after it.
const POINTING: [&str; 30] = [
    "following",
    "below",
    "this",
    "these",
    "text",
    "article",
    "passage",
    "email",
    "sentence",
    "paragraph",
    "here",
    "folgend",
    "diesen",
    "diese",
    "dieses",
    "suivant",
    "ce ",
    "cet",
    "cette",
    "ci-dessous",
    "siguiente",
    "este",
    "seguente",
    "questo",
    "seguinte",
    "volgende",
    "следующ",
    "этот",
    "以下",
    "次の",
];

/// The paragraph asks or instructs, judging by its first words and its end.
pub(super) fn asks(paragraph: &str) -> bool {
    let paragraph = paragraph.trim();
    paragraph.ends_with(['?', '？', '؟']) || opens(paragraph)
}

/// The paragraph begins as questions and instructions do.
pub(super) fn opens(paragraph: &str) -> bool {
    let words = paragraph.split(|c: char| !(c.is_alphanumeric() || c == '\''));
    let first = words.into_iter().find(|word| !word.is_empty()).unwrap_or_default().to_lowercase();
    paragraph.trim_start().starts_with(['¿', '¡'])
        || first.len() <= 24 && ASKING.split_ascii_whitespace().any(|word| word == first)
        || paragraph.len() < 400 && ASKING_MARKS.iter().any(|mark| paragraph.contains(mark))
}

/// The last sentence of the paragraph: all of it when there is but one.
pub(super) fn last_sentence(paragraph: &str) -> &str {
    let ends = |c: char| matches!(c, '.' | '?' | '!' | ':' | '。' | '？' | '！' | '\n');
    let body = paragraph.trim_end_matches(|c: char| ends(c) || c.is_whitespace());
    let starts = body
        .rfind(ends)
        .map_or(0, |at| at + body.get(at..).and_then(|end| end.chars().next()).map_or(0, char::len_utf8));
    paragraph.get(starts..).unwrap_or_default().trim()
}

/// The paragraph points at a text that follows it.
pub(super) fn points(paragraph: &str) -> bool {
    let folded = paragraph.to_lowercase();
    POINTING.iter().any(|word| folded.contains(word))
}

/// The question goes on from the one before: it opens with a word that joins, or has at most two words.
pub(super) fn continues(question: &str) -> bool {
    let folded = question.trim().to_lowercase();
    let joins = |opening: &str| {
        folded.strip_prefix(opening).is_some_and(|rest| {
            !rest.starts_with(char::is_alphanumeric) || opening.chars().any(|c| c >= '\u{3000}')
        })
    };
    CONTINUING.split('|').any(joins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_that_ask() {
        for text in [
            "What now",
            "please help",
            "Das geht?",
            "¿Qué",
            "请翻译这段话",
            "Rédigez un contrat",
            "I need a plan",
        ] {
            assert!(asks(text), "{text}");
        }
        for text in ["The committee met.", "Once upon a time", "1, 2, 3", ""] {
            assert!(!asks(text), "{text}");
        }
    }

    #[test]
    fn questions_that_go_on() {
        for text in
            ["and for 10?", "Now the second one", "What about Spain?", "et en 2020 ?", "那北京呢？", "Why?"]
        {
            assert!(continues(text), "{text}");
        }
        for text in ["What is the capital of France?", "Android phones", "Notes on Kant", ""] {
            assert!(!continues(text), "{text}");
        }
    }
}
