//! Lengths, parameters and nesting, from the syntax tree.
//!
//! * A function's lines run from its `fn` line (attributes and docs do not count) to its closing brace, less `const`
//!   and `static` tables inside, less nested functions (measured by themselves), less the arms of every `match` whose
//!   arms all have a body of one line.
//! * Parameters include `self`. A method of a trait's implementation has the parameters its trait says, so they are
//!   judged where the trait is declared.
//! * Nesting counts, inside a function: `if` (an `else` stands beside it), `for`, `while`, `loop`, `match`,
//!   `let ... else`, `async` blocks and closures with a block for a body. The body itself is level 0; a plain block
//!   adds nothing.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// One function, measured.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// The line of its `fn`.
    pub(super) line: usize,
    /// Its lines, as the module says.
    pub(super) lines: usize,
    /// Its parameters.
    pub(super) parameters: usize,
    /// Its deepest nesting.
    pub(super) nesting: usize,
}

/// Whether an item is there for tests only.
pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let cfg = attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test");
        cfg || attribute.path().is_ident("test")
    })
}

/// Lines of items that are there for tests only.
pub(super) fn test_lines(file: &syn::File) -> usize {
    file.items.iter().filter(|item| is_test(attributes(item))).map(|item| lines(item.span())).sum()
}

/// The attributes of the kinds of items tests are made of.
fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn lines(span: proc_macro2::Span) -> usize {
    span.end().line + 1 - span.start().line
}

/// Every function outside tests.
pub(super) fn functions(file: &syn::File) -> Vec<Function> {
    let mut finder = Finder::default();
    finder.visit_file(file);
    finder.found
}

#[derive(Default)]
struct Finder {
    found: Vec<Function>,
    of_trait_impl: bool,
}

impl Finder {
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let mut body_of = Body::default();
        visit::visit_block(&mut body_of, body);
        let (start, end) = (signature.span().start().line, body.span().end().line);
        self.found.push(Function {
            name: signature.ident.to_string(),
            line: start,
            lines: (end + 1 - start).saturating_sub(body_of.not_counted),
            parameters: if self.of_trait_impl { 0 } else { signature.inputs.len() },
            nesting: body_of.deepest,
        });
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test(&function.attrs) {
            let outer = std::mem::take(&mut self.of_trait_impl);
            self.add(&function.sig, &function.block);
            visit::visit_item_fn(self, function);
            self.of_trait_impl = outer;
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        if !is_test(&block.attrs) {
            let outer = std::mem::replace(&mut self.of_trait_impl, block.trait_.is_some());
            visit::visit_item_impl(self, block);
            self.of_trait_impl = outer;
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        match &function.default {
            Some(body) => self.add(&function.sig, body),
            None => self.found.push(Function {
                name: function.sig.ident.to_string(),
                line: function.sig.span().start().line,
                lines: lines(function.sig.span()),
                parameters: function.sig.inputs.len(),
                nesting: 0,
            }),
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// What stands in one function's body.
#[derive(Default)]
struct Body {
    depth: usize,
    deepest: usize,
    not_counted: usize,
    /// Inside lines already taken off.
    taken: bool,
}

impl Body {
    fn deeper(&mut self, inside: impl FnOnce(&mut Self)) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        inside(self);
        self.depth -= 1;
    }

    fn take(&mut self, lines: usize, inside: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.taken, true);
        if !outer {
            self.not_counted += lines;
        }
        inside(self);
        self.taken = outer;
    }

    /// The arms of a match are a table when each has a body of one line.
    fn is_table(node: &syn::ExprMatch) -> bool {
        node.arms.iter().all(|arm| lines(arm.body.span()) == 1 && !matches!(&*arm.body, syn::Expr::Block(_)))
    }
}

impl<'ast> Visit<'ast> for Body {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        // Tables do not count; nested functions are measured by themselves.
        if matches!(item, syn::Item::Const(_) | syn::Item::Static(_) | syn::Item::Fn(_) | syn::Item::Impl(_))
        {
            self.take(lines(item.span()), |_| ());
        }
    }

    fn visit_expr_if(&mut self, node: &'ast syn::ExprIf) {
        self.visit_expr(&node.cond);
        self.deeper(|body| body.visit_block(&node.then_branch));
        match node.else_branch.as_ref().map(|(_, otherwise)| &**otherwise) {
            Some(syn::Expr::If(chained)) => self.visit_expr_if(chained),
            Some(otherwise) => self.deeper(|body| body.visit_expr(otherwise)),
            None => {}
        }
    }

    fn visit_expr_match(&mut self, node: &'ast syn::ExprMatch) {
        self.visit_expr(&node.expr);
        let (Some(first), Some(last)) = (node.arms.first(), node.arms.last()) else { return };
        let arm_lines = last.span().end().line + 1 - first.span().start().line;
        let arms = |body: &mut Self| node.arms.iter().for_each(|arm| body.visit_arm(arm));
        if Self::is_table(node) {
            self.take(arm_lines, |body| body.deeper(arms));
        } else {
            self.deeper(arms);
        }
    }

    fn visit_expr_for_loop(&mut self, node: &'ast syn::ExprForLoop) {
        self.visit_expr(&node.expr);
        self.deeper(|body| body.visit_block(&node.body));
    }

    fn visit_expr_while(&mut self, node: &'ast syn::ExprWhile) {
        self.visit_expr(&node.cond);
        self.deeper(|body| body.visit_block(&node.body));
    }

    fn visit_expr_loop(&mut self, node: &'ast syn::ExprLoop) {
        self.deeper(|body| body.visit_block(&node.body));
    }

    fn visit_expr_async(&mut self, node: &'ast syn::ExprAsync) {
        self.deeper(|body| body.visit_block(&node.block));
    }

    fn visit_expr_closure(&mut self, node: &'ast syn::ExprClosure) {
        match &*node.body {
            syn::Expr::Block(block) => self.deeper(|body| body.visit_block(&block.block)),
            other => self.visit_expr(other),
        }
    }

    fn visit_local_init(&mut self, node: &'ast syn::LocalInit) {
        self.visit_expr(&node.expr);
        if let Some((_, otherwise)) = &node.diverge {
            self.deeper(|body| body.visit_expr(otherwise));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name lines parameters nesting` of every function.
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = functions(&syn::parse_file(text).unwrap())
            .iter()
            .map(|f| format!("{} {} {} {}", f.name, f.lines, f.parameters, f.nesting))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn lines_run_from_fn_to_brace() {
        check("/// Doc.\n#[inline]\nfn f(\n    a: u8,\n) {\n}\n", &["f 4 1 0"]);
        check("impl A { fn f(&self) {\n} }", &["f 2 1 0"]);
        check("trait A { fn f(&self, b: u8);\nfn g() {\n}\n}", &["f 1 2 0", "g 2 0 0"]);
        check("#[cfg(test)] mod tests { fn f() {} }\n#[test] fn g() {}", &[]);
    }

    #[test]
    fn tables_do_not_count() {
        check("fn f() {\nmatch a {\nA => 1,\nB\n| C => 2,\n}\n}", &["f 4 0 1"]);
        check("fn f() {\nmatch a {\nA => 1,\nB => {\ng()\n}\n}\n}", &["f 8 0 1"]);
        check("fn f() {\nconst T: [u8; 2] = [\n1,\n2,\n];\n}", &["f 2 0 0"]);
        check("fn f() {\nfn g() {\nif a {}\n}\n}", &["f 2 0 0", "g 3 0 1"]);
        check("fn f() {\nmatch a {\nA => match b {\nC => 1,\nD => 2,\n},\nE => 3,\n}\n}", &["f 7 0 2"]);
    }

    #[test]
    fn nesting_counts_control_not_blocks() {
        check("fn f() { { { } } }", &["f 1 0 0"]);
        check("fn f() { if a { } else if b { } else { } }", &["f 1 0 1"]);
        check("fn f() { if a { } else { for b in c { } } }", &["f 1 0 2"]);
        check("fn f() { a.map(|b| b + 1); a.map(|b| { b }); }", &["f 1 0 1"]);
        check("fn f() { spawn(async move { while a { match b { _ => {} } } }) }", &["f 1 0 3"]);
        check("fn f() { let Some(a) = b else { return }; }", &["f 1 0 1"]);
        check("fn f() { match a { A => { if b {} } } }", &["f 1 0 2"]);
    }

    #[test]
    fn a_trait_decides_the_parameters_of_its_implementations() {
        check("impl T for A { fn f(&self, a: u8, b: u8) {} }", &["f 1 0 0"]);
    }

    #[test]
    fn lines_of_tests_are_counted_with_their_attribute() {
        let file =
            syn::parse_file("fn f() {}\n#[cfg(test)]\nmod tests {\n}\n#[cfg(test)]\nmod more;\n").unwrap();
        assert_eq!(test_lines(&file), 5);
    }
}
