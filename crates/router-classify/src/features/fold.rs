//! Folds text for term matching: lower case, letters without their accents, one kind of apostrophe and space.

/// The folded text. Line breaks stay, because sentences start after them.
pub(super) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' | '\u{0}'..='\u{8}' => out.push(if c == '\n' { '\n' } else { ' ' }),
            '\t' | '\r' | '\u{a0}' | '\u{3000}' => out.push(' '),
            _ if c.is_ascii() => out.push(c.to_ascii_lowercase()),
            '\u{2018}' | '\u{2019}' => out.push('\''),
            'ß' => out.push_str("ss"),
            'Œ' | 'œ' => out.push_str("oe"),
            'Æ' | 'æ' => out.push_str("ae"),
            '\u{300}'..='\u{36f}' => {}
            '\u{c0}'..='\u{24f}' | '\u{1ea0}'..='\u{1ef9}' => {
                out.extend(c.to_lowercase().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).map(bare));
            }
            '\u{370}'..='\u{3ff}' | 'Ё' | 'ё' => out.extend(c.to_lowercase().map(bare)),
            _ => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// A lower-case letter without its accent.
fn bare(c: char) -> char {
    match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' | 'ạ' | 'ả' | 'ấ' | 'ầ' | 'ẩ' | 'ậ' | 'ắ'
        | 'ằ' | 'ặ' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'ď' | 'đ' => 'd',
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' | 'ẹ' | 'ẻ' | 'ế' | 'ề' | 'ể' | 'ễ' | 'ệ' => {
            'e'
        }
        'ğ' => 'g',
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ı' | 'ỉ' | 'ị' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' | 'ơ' | 'ọ' | 'ỏ' | 'ố' | 'ồ' | 'ổ' | 'ộ' | 'ớ' | 'ờ'
        | 'ở' | 'ợ' => 'o',
        'ř' => 'r',
        'ś' | 'š' | 'ş' | 'ș' => 's',
        'ť' | 'ţ' | 'ț' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ū' | 'ů' | 'ű' | 'ư' | 'ụ' | 'ủ' | 'ứ' | 'ừ' | 'ử' | 'ự' => {
            'u'
        }
        'ý' | 'ÿ' | 'ỳ' | 'ỹ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        'ά' => 'α',
        'έ' => 'ε',
        'ή' => 'η',
        'ί' | 'ϊ' | 'ΐ' => 'ι',
        'ό' => 'ο',
        'ύ' | 'ϋ' | 'ΰ' => 'υ',
        'ώ' => 'ω',
        'ё' => 'е',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_forgets_case_and_accents() {
        let check = |text: &str, expected: &str| assert_eq!(fold(text), expected);
        check("Écrivez, GROßE Über", "ecrivez, grosse uber");
        check("cafe\u{301} e\u{301}", "cafe e");
        check("İstanbul ağaç Łódź", "istanbul agac lodz");
        check("l’été\t\u{a0}Æ", "l'ete  ae");
        check("Привет ещё ΑΒ Ποιά 日本", "привет еще αβ ποια 日本");
        check("a\nb", "a\nb");
    }
}
