//! Which names each module of a package has, and the file in which the item behind a path is defined.
//!
//! This follows `use` and `pub use`, `crate`, `self`, `super` and globs. It expands no macro: items that a macro makes are
//! found by the keyword before their name, wherever in the macro's tokens that is. Code for tests has no names here.

use super::sources::Package;
use anyhow::{Context as _, Result};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{HashMap, HashSet};
use syn::{Attribute, Item, UseTree, punctuated::Punctuated};

/// A module's number in [`Names::modules`].
pub(crate) type ModuleId = usize;

/// An item, or a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A module itself.
    Module(ModuleId),
    /// A type, function, constant, trait or macro that this module defines.
    Item(ModuleId, String),
}

/// What a name in a module stands for. One name may be a module and a function.
enum Definition {
    Here(Found),
    /// Imported by this path.
    Imported(Vec<String>),
}

/// A module: a file, or a part of one.
pub(crate) struct Module {
    /// The file that it lies in.
    pub(crate) file: String,
    /// Its items, without modules and without code for tests.
    pub(crate) items: Vec<Item>,
    parent: Option<ModuleId>,
    root: ModuleId,
    names: HashMap<String, Vec<Definition>>,
    globs: Vec<Vec<String>>,
}

/// All modules of a package.
pub(crate) struct Names {
    /// Parents come before their children.
    pub(crate) modules: Vec<Module>,
    /// The library's name as its binaries write it, and its root.
    library: Option<(String, ModuleId)>,
    /// Macros by example are visible by the order of the text, so they are found by their name alone.
    macros: HashMap<String, ModuleId>,
}

impl Names {
    pub(crate) fn new(package: &Package) -> Result<Self> {
        let mut names = Self { modules: Vec::new(), library: None, macros: HashMap::new() };
        for (number, root) in package.roots.iter().enumerate() {
            let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
            let module = names.add_file(package, root, folder, None)?;
            if number == 0 && package.library {
                names.library = Some((package.name.replace('-', "_"), module));
            }
        }
        Ok(names)
    }

    fn add_file(
        &mut self,
        package: &Package,
        file: &str,
        folder: &str,
        parent: Option<ModuleId>,
    ) -> Result<ModuleId> {
        let text = package.files.get(file).with_context(|| format!("{file} isn't there"))?;
        let parsed = syn::parse_file(text).with_context(|| file.to_owned())?;
        self.add_module(package, file, folder, parent, parsed.items)
    }

    /// `folder` is where the files of its child modules lie.
    fn add_module(
        &mut self,
        package: &Package,
        file: &str,
        folder: &str,
        parent: Option<ModuleId>,
        items: Vec<Item>,
    ) -> Result<ModuleId> {
        let id = self.modules.len();
        let root = parent.map_or(id, |parent| self.modules[parent].root);
        let (names, globs) = (HashMap::new(), Vec::new());
        self.modules.push(Module { file: file.to_owned(), items: Vec::new(), parent, root, names, globs });
        for item in items {
            if for_tests(attributes(&item)) {
                continue;
            }
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let inner = format!("{folder}/{name}");
                    let child = if let Some((_, items)) = module.content {
                        Some(self.add_module(package, file, &inner, Some(id), items)?)
                    } else {
                        // A file with a path of its own may be another package's; such a module is nobody's.
                        let files = [format!("{inner}.rs"), format!("{inner}/mod.rs")];
                        let own = files.iter().find(|file| package.files.contains_key(*file));
                        let elsewhere =
                            module.attrs.iter().any(|attribute| attribute.path().is_ident("path"));
                        match own {
                            Some(own) => Some(self.add_file(package, own, &inner, Some(id))?),
                            None if elsewhere => None,
                            None => anyhow::bail!("{file}: the module {name} has no file"),
                        }
                    };
                    if let Some(child) = child {
                        self.define(id, name, Definition::Here(Found::Module(child)));
                    }
                }
                Item::Use(import) => {
                    let mut leaves = Vec::new();
                    leaves_of(&import.tree, &mut Vec::new(), &mut leaves);
                    for leaf in leaves {
                        match leaf.name {
                            Some(name) => self.define(id, name, Definition::Imported(leaf.path)),
                            None => self.modules[id].globs.push(leaf.path),
                        }
                    }
                    self.modules[id].items.push(Item::Use(import));
                }
                item => {
                    for name in defined_by(&item) {
                        if matches!(&item, Item::Macro(item) if item.ident.is_some()) {
                            self.macros.entry(name.clone()).or_insert(id);
                        }
                        self.define(id, name.clone(), Definition::Here(Found::Item(id, name)));
                    }
                    self.modules[id].items.push(item);
                }
            }
        }
        Ok(id)
    }

    fn define(&mut self, module: ModuleId, name: String, definition: Definition) {
        self.modules[module].names.entry(name).or_default().push(definition);
    }

    /// What a path that is written in a module stands for; nothing where that is another package's.
    pub(crate) fn resolve(&self, module: ModuleId, path: &[String]) -> Vec<Found> {
        self.resolve_with(module, path, &mut HashSet::new())
    }

    /// The module that defines a macro by example.
    pub(crate) fn macro_by_example(&self, name: &str) -> Option<ModuleId> {
        self.macros.get(name).copied()
    }

    /// `seen` has what is being looked up, so that names that stand for each other come to an end.
    fn resolve_with(
        &self,
        module: ModuleId,
        path: &[String],
        seen: &mut HashSet<(ModuleId, String)>,
    ) -> Vec<Found> {
        let Some((first, mut rest)) = path.split_first() else {
            return Vec::new();
        };
        let mut here = match first.as_str() {
            "crate" => vec![Found::Module(self.modules[module].root)],
            "self" => vec![Found::Module(module)],
            "super" => self.modules[module].parent.into_iter().map(Found::Module).collect(),
            name => {
                let found = self.lookup(module, name, seen);
                let library = self.library.iter().filter(|(library, _)| found.is_empty() && library == name);
                let library: Vec<_> = library.map(|&(_, root)| Found::Module(root)).collect();
                [found, library].concat()
            }
        };
        while let Some((name, after)) = rest.split_first() {
            let modules = here.iter().filter_map(|found| match found {
                Found::Module(module) => Some(*module),
                Found::Item(..) => None,
            });
            let modules: Vec<_> = modules.collect();
            if modules.is_empty() {
                // What follows is a variant or an associated item.
                break;
            }
            let next = modules.into_iter().flat_map(|module| match name.as_str() {
                "super" => self.modules[module].parent.into_iter().map(Found::Module).collect(),
                name => self.lookup(module, name, seen),
            });
            here = next.collect();
            rest = after;
        }
        here
    }

    fn lookup(&self, module: ModuleId, name: &str, seen: &mut HashSet<(ModuleId, String)>) -> Vec<Found> {
        // `use name::name` means the module of the name that it imports: while that is followed, only what is defined here.
        let first = seen.insert((module, name.to_owned()));
        let mut found = Vec::new();
        for definition in self.modules[module].names.get(name).into_iter().flatten() {
            match definition {
                Definition::Here(here) => found.push(here.clone()),
                Definition::Imported(path) if first => found.extend(self.resolve_with(module, path, seen)),
                Definition::Imported(_) => {}
            }
        }
        if !first {
            return found;
        }
        if found.is_empty() {
            for glob in &self.modules[module].globs {
                for source in self.resolve_with(module, glob, seen) {
                    if let Found::Module(source) = source {
                        found.extend(self.lookup(source, name, seen));
                    }
                }
            }
        }
        seen.remove(&(module, name.to_owned()));
        found
    }
}

/// One name of a `use`.
pub(crate) struct Leaf {
    /// The path to what is imported, or to the module or enum all of which is.
    pub(crate) path: Vec<String>,
    /// The name that it gets; none for a glob.
    pub(crate) name: Option<String>,
    /// The line on which it stands.
    pub(crate) line: usize,
}

/// Takes a `use` apart.
pub(crate) fn leaves_of(tree: &UseTree, prefix: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            leaves_of(&path.tree, prefix, leaves);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves_of(tree, prefix, leaves)),
        UseTree::Glob(glob) => {
            let line = glob.star_token.spans[0].start().line;
            leaves.push(Leaf { path: prefix.clone(), name: None, line });
        }
        UseTree::Name(name) => leaves.push(leaf(prefix, &name.ident, &name.ident)),
        UseTree::Rename(rename) => leaves.push(leaf(prefix, &rename.ident, &rename.rename)),
    }
}

fn leaf(prefix: &[String], ident: &syn::Ident, name: &syn::Ident) -> Leaf {
    let mut path = prefix.to_vec();
    let line = ident.span().start().line;
    // `use a::{self}` is `use a`.
    if ident != "self" || path.is_empty() {
        path.push(ident.to_string());
    }
    let name = if name == "self" { path.last().cloned() } else { Some(name.to_string()) };
    Leaf { path, name, line }
}

/// The names that an item defines.
fn defined_by(item: &Item) -> Vec<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => match &item.ident {
            Some(ident) => ident,
            None => return defined_in(item.mac.tokens.clone()),
        },
        _ => return Vec::new(),
    };
    let mut names = vec![ident.to_string()];
    if let Item::Macro(item) = item {
        names.extend(defined_in(item.mac.tokens.clone()));
    }
    names
}

/// What stands behind a keyword of an item, somewhere in a macro's tokens.
fn defined_in(tokens: TokenStream) -> Vec<String> {
    const KEYWORDS: [&str; 7] = ["const", "enum", "fn", "static", "struct", "trait", "type"];
    let mut names = Vec::new();
    let mut keyword = false;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if keyword => {
                names.push(ident.to_string());
                keyword = false;
            }
            TokenTree::Ident(ident) => keyword = KEYWORDS.contains(&ident.to_string().as_str()),
            TokenTree::Group(group) => {
                names.extend(defined_in(group.stream()));
                keyword = false;
            }
            _ => keyword = false,
        }
    }
    names
}

/// Whether something is compiled for tests alone.
pub(crate) fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let test = path.segments.last().is_some_and(|segment| segment.ident == "test");
        test || path.is_ident("cfg") && attribute.parse_args().is_ok_and(|meta| needs_test(&meta))
    })
}

fn needs_test(meta: &syn::Meta) -> bool {
    match meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(needs_test)),
        _ => false,
    }
}

/// An item's attributes.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
