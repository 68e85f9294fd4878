//! A parameter of a function, as a member of the arguments object.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Error, Ident, Pat, PatType, Result, Type};

/// One argument: a field of the type that all arguments are read into.
pub(crate) struct Parameter {
    /// Its doc comments, `#[serde(..)]` and `#[schemars(..)]`.
    pub(crate) attributes: Vec<Attribute>,
    /// Its name, of the parameter and of the field.
    pub(crate) name: Ident,
    /// Its type, which owns all it has.
    pub(crate) kind: Type,
}

impl Parameter {
    /// Reads a parameter, and takes the attributes that a field may have and a parameter may not.
    ///
    /// # Errors
    /// If it has no name, borrows, or has other attributes.
    pub(crate) fn take(typed: &mut PatType) -> Result<Parameter> {
        let attributes = std::mem::take(&mut typed.attrs);
        if let Some(other) = attributes.iter().find(|it| !is_for_a_field(it)) {
            let fault = "a parameter has doc comments, `#[serde(..)]` and `#[schemars(..)]` only";
            return Err(Error::new_spanned(other, fault));
        }
        if is_call(&typed.ty) {
            let fault = "`&Call` is the first parameter: move it there";
            return Err(Error::new_spanned(&typed.ty, fault));
        }
        if let Some(fault) = borrowing(typed.ty.to_token_stream()) {
            return Err(Error::new_spanned(&typed.ty, fault));
        }
        Ok(Parameter {
            attributes,
            name: name_of(&typed.pat)?,
            kind: (*typed.ty).clone(),
        })
    }
}

/// Whether this is the type of the call: a reference to `Call` of any kind, or the type itself,
/// which no argument can be.
pub(crate) fn is_call(kind: &Type) -> bool {
    let (kind, is_borrowed) = match kind {
        Type::Reference(reference) => (&*reference.elem, true),
        kind => (kind, false),
    };
    let Type::Path(path) = kind else {
        return false;
    };
    let names: Vec<&Ident> = path.path.segments.iter().map(|it| &it.ident).collect();
    match names.as_slice() {
        [.., last] if is_borrowed => *last == "Call",
        [only] => *only == "Call",
        [of, last] => *of == "corelane" && *last == "Call",
        _ => false,
    }
}

fn is_for_a_field(attribute: &Attribute) -> bool {
    let names = ["doc", "serde", "schemars"];
    names.iter().any(|name| attribute.path().is_ident(name))
}

fn name_of(pattern: &Pat) -> Result<Ident> {
    if let Pat::Ident(name) = pattern
        && name.by_ref.is_none()
        && name.subpat.is_none()
    {
        return Ok(name.ident.clone());
    }
    let fault = "a parameter has a plain name, which is the argument's: \
        take it apart in the function";
    Err(Error::new_spanned(pattern, fault))
}

/// The fault of a type that borrows or is not a type of its own.
fn borrowing(kind: TokenStream) -> Option<&'static str> {
    kind.into_iter().find_map(|token| match token {
        TokenTree::Punct(it) if it.as_char() == '&' => {
            Some("arguments are owned by the call: take `String` for `&str`, `Vec<T>` for `&[T]`")
        }
        TokenTree::Punct(it) if it.as_char() == '\'' => {
            Some("arguments are owned by the call: take a type without a lifetime")
        }
        TokenTree::Ident(it) if it == "impl" => {
            Some("clients get the schema of a type: name the type")
        }
        TokenTree::Group(it) => borrowing(it.stream()),
        _ => None,
    })
}
