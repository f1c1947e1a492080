//! Which file imports which: an import is a path to an item that another file defines.
//!
//! Every `use` counts, and every path in code, in macro arguments and in attributes. Re-exports are followed to the file
//! that defines the item. `mod` lines, documentation and test code don't count.

use super::{
    names::{Found, ModuleId, Names, attributes, for_tests, leaves_of},
    sources::Package,
};
use anyhow::Result;
use proc_macro2::{Spacing, TokenStream, TokenTree};
use std::collections::HashMap;
use syn::{
    Block, Item, ItemUse, Stmt, Visibility,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// One file's import of an item from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// The file that imports.
    pub(crate) from: String,
    /// The line of its first mention.
    pub(crate) line: usize,
    /// The file that defines the item.
    pub(crate) to: String,
    /// The item's name.
    pub(crate) item: String,
    /// Whether the file only re-exports the name (`pub use`) without using it itself. Such an import closes no circle.
    pub(crate) passed_on: bool,
}

impl std::fmt::Display for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let verb = if self.passed_on { "re-exports from" } else { "imports" };
        write!(f, "{}:{} {verb} {} ({})", self.from, self.line, self.to, self.item)
    }
}

/// All imports between a package's files; each combination of file and item occurs once.
pub(crate) fn imports(package: &Package) -> Result<Vec<Import>> {
    let names = Names::new(package)?;
    let mut imports = Vec::new();
    for (id, module) in names.modules.iter().enumerate() {
        let mut reader = Reader { names: &names, module: id, blocks: Vec::new(), imports: &mut imports };
        module.items.iter().for_each(|item| reader.visit_item(item));
    }
    imports.sort_by(|a, b| {
        (&a.from, &a.to, &a.item, a.passed_on, a.line).cmp(&(&b.from, &b.to, &b.item, b.passed_on, b.line))
    });
    imports.dedup_by(|again, first| {
        (&again.from, &again.to, &again.item) == (&first.from, &first.to, &first.item)
    });
    Ok(imports)
}

/// Visits a module's code and collects its imports.
struct Reader<'a> {
    names: &'a Names,
    module: ModuleId,
    /// The names that `use` inside functions brings into scope; an empty path marks an item that is defined there.
    blocks: Vec<HashMap<String, Vec<String>>>,
    imports: &'a mut Vec<Import>,
}

impl Reader<'_> {
    fn path(&mut self, path: &[String], line: usize, passed_on: bool) {
        let local =
            path.first().and_then(|first| self.blocks.iter().rev().find_map(|block| block.get(first)));
        let found = match local {
            Some(local) if local.is_empty() => return,
            Some(local) => self.names.resolve(self.module, &[local, &path[1..]].concat()),
            None => self.names.resolve(self.module, path),
        };
        for found in found {
            if let Found::Item(definer, item) = found {
                self.import(definer, item, line, passed_on);
            }
        }
    }

    fn import(&mut self, definer: ModuleId, item: String, line: usize, passed_on: bool) {
        let (from, to) = (&self.names.modules[self.module].file, &self.names.modules[definer].file);
        if from != to {
            self.imports.push(Import { from: from.clone(), line, to: to.clone(), item, passed_on });
        }
    }

    /// Finds paths in tokens whose meaning only a macro knows.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is = |at: usize, mark: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == mark);
        let mut at = 0;
        while at < tokens.len() {
            let start = at;
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let mut path = vec![ident.to_string()];
                    while is(at + 1, ':') && is(at + 2, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
                        path.push(next.to_string());
                        at += 3;
                    }
                    let after = |mark| start > 0 && is(start - 1, mark);
                    let member = after('.') && !(start > 1 && is(start - 2, '.'));
                    let single = |mark| matches!(tokens.get(at + 1), Some(TokenTree::Punct(punct)) if punct.as_char() == mark && punct.spacing() == Spacing::Alone);
                    let named = path.len() == 1 && (single(':') || single('='));
                    if !member && !named && !after('\'') {
                        self.path(&path, ident.span().start().line, false);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn import_tree(&mut self, import: &ItemUse, passed_on: bool) {
        let mut leaves = Vec::new();
        leaves_of(&import.tree, &mut Vec::new(), &mut leaves);
        leaves.iter().for_each(|leaf| self.path(&leaf.path, leaf.line, passed_on));
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        let passed_on = !matches!(import.vis, Visibility::Inherited);
        self.import_tree(import, passed_on);
    }

    fn visit_block(&mut self, block: &'ast Block) {
        let mut names = HashMap::new();
        for statement in &block.stmts {
            match statement {
                Stmt::Item(Item::Use(import)) => {
                    let mut leaves = Vec::new();
                    leaves_of(&import.tree, &mut Vec::new(), &mut leaves);
                    let named = leaves.into_iter().filter_map(|leaf| Some((leaf.name?, leaf.path)));
                    names.extend(named.filter(|(name, path)| path.first() != Some(name)));
                }
                Stmt::Item(Item::Const(item)) => _ = names.insert(item.ident.to_string(), Vec::new()),
                Stmt::Item(Item::Fn(item)) => _ = names.insert(item.sig.ident.to_string(), Vec::new()),
                Stmt::Item(Item::Struct(item)) => _ = names.insert(item.ident.to_string(), Vec::new()),
                Stmt::Item(Item::Enum(item)) => _ = names.insert(item.ident.to_string(), Vec::new()),
                Stmt::Item(Item::Trait(item)) => _ = names.insert(item.ident.to_string(), Vec::new()),
                _ => {}
            }
        }
        self.blocks.push(names);
        visit::visit_block(self, block);
        self.blocks.pop();
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        // A path that begins with `::` belongs to another package.
        if path.leading_colon.is_none() {
            let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.path(&segments, path.span().start().line, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let name = mac.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if let Some(definer) = self.names.macro_by_example(&name) {
            self.import(definer, name, mac.span().start().line, false);
        }
        self.tokens(mac.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let documentation = attribute.path().is_ident("doc") || attribute.path().is_ident("cfg");
        if let (false, syn::Meta::List(list)) = (documentation, &attribute.meta) {
            self.tokens(list.tokens.clone());
        }
    }
}
