//! A function as its author wrote it, reduced to the parts that a tool or prompt needs.

use syn::ext::IdentExt;
use syn::{Attribute, Error, FnArg, ItemFn, Pat, PatType, Result, Safety, Type, Visibility};

use crate::description;
use crate::parameter::{self, Parameter};

/// Attributes that belong to the tool; all others stay on the function.
const OF_THE_TOOL: [&str; 8] = [
    "allow",
    "deny",
    "deprecated",
    "doc",
    "expect",
    "forbid",
    "must_use",
    "warn",
];

/// A function that can be a tool or a prompt.
pub(crate) struct Function {
    /// Attributes of the generated function.
    pub(crate) attributes: Vec<Attribute>,
    /// The visibility of the generated function.
    pub(crate) visibility: Visibility,
    /// The name that clients see.
    pub(crate) name: String,
    /// The description, from the doc comment.
    pub(crate) description: String,
    /// Its first parameter is the call.
    pub(crate) takes_call: bool,
    /// All other parameters.
    pub(crate) parameters: Vec<Parameter>,
    /// The function itself, without the attributes that were taken.
    pub(crate) item: ItemFn,
}

impl Function {
    /// Reads a function for a `noun`.
    ///
    /// # Errors
    /// Every fault of the function, not only the first.
    pub(crate) fn read(mut item: ItemFn, noun: &str) -> Result<Function> {
        let mut faults = Faults(None);
        faults.note(check_signature(&item, noun));
        let description = faults.note(describe(&item, noun)).unwrap_or_default();
        let (mut takes_call, mut parameters) = (false, Vec::new());
        for (at, argument) in item.sig.inputs.iter_mut().enumerate() {
            match argument {
                FnArg::Receiver(receiver) => faults.add(Error::new_spanned(
                    receiver,
                    format!(
                        "a {noun} is a free function: give it what it needs with \
                         `Server::with_state`"
                    ),
                )),
                FnArg::Typed(typed) if at == 0 && parameter::is_call(&typed.ty) => {
                    takes_call = true;
                    faults.note(check_call(typed));
                }
                FnArg::Typed(typed) => parameters.extend(faults.note(Parameter::take(typed))),
            }
        }
        let all = std::mem::take(&mut item.attrs);
        let is_of_the_tool =
            |it: &Attribute| OF_THE_TOOL.iter().any(|name| it.path().is_ident(name));
        let (attributes, own) = all.into_iter().partition(is_of_the_tool);
        item.attrs = own;
        faults.none()?;
        Ok(Function {
            attributes,
            visibility: std::mem::replace(&mut item.vis, Visibility::Inherited),
            name: item.sig.ident.unraw().to_string(),
            description,
            takes_call,
            parameters,
            item,
        })
    }
}

fn check_signature(item: &ItemFn, noun: &str) -> Result<()> {
    let signature = &item.sig;
    let generics = &signature.generics;
    let fault = if !generics.params.is_empty() {
        let fault = format!("a {noun} has no generics: name its types");
        Error::new_spanned(&generics.params, fault)
    } else if let Some(clause) = &generics.where_clause {
        let fault = format!("a {noun} has no generics: there is nothing to bound");
        Error::new_spanned(clause, fault)
    } else if let Safety::Unsafe(keyword) = signature.safety {
        let fault = format!("a {noun} is called by clients: make it safe");
        Error::new_spanned(keyword, fault)
    } else {
        return Ok(());
    };
    Err(fault)
}

fn describe(item: &ItemFn, noun: &str) -> Result<String> {
    let description = description::of(&item.attrs)?;
    if description.is_empty() {
        let fault = format!("a {noun} is chosen by its description: write a doc comment");
        return Err(Error::new_spanned(&item.sig.ident, fault));
    }
    Ok(description)
}

/// The call is borrowed for as long as the function runs, and goes by any name.
fn check_call(typed: &PatType) -> Result<()> {
    if let Some(attribute) = typed.attrs.first() {
        let fault = "the call is no argument of clients: it has no attributes";
        return Err(Error::new_spanned(attribute, fault));
    }
    let is_borrowed = match &*typed.ty {
        Type::Reference(call) => call.lifetime.is_none() && call.mutability.is_none(),
        _ => false,
    };
    if !is_borrowed {
        let fault = "a call is only borrowed: take `&Call`";
        return Err(Error::new_spanned(&typed.ty, fault));
    }
    match &*typed.pat {
        Pat::Ident(_) | Pat::Wild(_) => Ok(()),
        other => Err(Error::new_spanned(other, "a call has a plain name")),
    }
}

/// All faults, reported together.
struct Faults(Option<Error>);

impl Faults {
    fn add(&mut self, fault: Error) {
        match &mut self.0 {
            Some(faults) => faults.combine(fault),
            None => self.0 = Some(fault),
        }
    }

    fn note<T>(&mut self, outcome: Result<T>) -> Option<T> {
        outcome.map_err(|fault| self.add(fault)).ok()
    }

    fn none(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
