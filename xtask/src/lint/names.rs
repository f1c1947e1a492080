//! The names in each module of a package, and the file that defines the item behind a path.
//!
//! `use` and `pub use`, `crate`, `self`, `super` and globs are followed. Macros aren't expanded: items that a macro
//! generates are found by the keyword before their name, anywhere in the macro's tokens. Test code defines no names here.

use super::sources::Package;
use anyhow::{Context as _, Result};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{HashMap, HashSet};
use syn::{Attribute, Item, UseTree, punctuated::Punctuated};

/// A module's index in [`Names::modules`].
pub(crate) type ModuleId = usize;

/// What a path resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A module itself.
    Module(ModuleId),
    /// A type, function, constant, trait or macro that this module defines.
    Item(ModuleId, String),
}

/// What a name in a module stands for. One name may have several definitions, such as a module and a function.
enum Definition {
    Here(Found),
    /// Imported from this path.
    Imported(Vec<String>),
}

/// A module: a whole file, or an inline `mod` in one.
pub(crate) struct Module {
    /// The file that contains it.
    pub(crate) file: String,
    /// Its items, except modules and test code.
    pub(crate) items: Vec<Item>,
    parent: Option<ModuleId>,
    root: ModuleId,
    names: HashMap<String, Vec<Definition>>,
    globs: Vec<Vec<String>>,
}

/// All modules of a package.
pub(crate) struct Names {
    /// A parent comes before its children.
    pub(crate) modules: Vec<Module>,
    /// The library's name as the binaries use it, and its root module.
    library: Option<(String, ModuleId)>,
    /// Macros by example are scoped by the order of the text, so they are looked up by their name alone.
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

    /// Adds a module and its children; `folder` contains the files of its child modules.
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
                        // A module with a `path` attribute may be a file of another package; then it is left out.
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

    /// What a path written in a module resolves to; nothing if it belongs to another package.
    pub(crate) fn resolve(&self, module: ModuleId, path: &[String]) -> Vec<Found> {
        self.resolve_with(module, path, &mut HashSet::new())
    }

    /// The module that defines a macro by example.
    pub(crate) fn macro_by_example(&self, name: &str) -> Option<ModuleId> {
        self.macros.get(name).copied()
    }

    /// Resolves a path; `seen` has the names that are being looked up, so that names that refer to each other end the search.
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
                // The rest of the path is a variant or an associated item.
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
        // `use name::name` refers to the module of that name, not to the name that it imports: while the import is
        // followed, only definitions in this module count.
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

/// One name of a `use` declaration.
pub(crate) struct Leaf {
    /// The path of the imported item, or for a glob the path of the module or enum.
    pub(crate) path: Vec<String>,
    /// The name that it gets in the module; `None` for a glob.
    pub(crate) name: Option<String>,
    /// The line on which it stands.
    pub(crate) line: usize,
}

/// Splits a `use` declaration into its names.
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
    // `use a::{self}` is the same as `use a`.
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

/// The names that follow an item's keyword, anywhere in a macro's tokens.
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

/// Whether an item is compiled only for tests.
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
