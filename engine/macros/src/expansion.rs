//! The code that replaces a function: a function that builds a tool or a prompt from it.
//!
//! The original function is kept inside, unchanged; the types of its parameters become the fields
//! of the type that arguments are read into. The compiler therefore reports a wrong type where the
//! author wrote it. Generated names are `__Arguments` and local ones that no code of the author can
//! see.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, Result, ReturnType};

use crate::function::Function;
use crate::parameter::Parameter;

/// The kind of item that a function becomes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Kind::Tool => "tool",
            Kind::Prompt => "prompt",
        }
    }

    /// The path of the generated type, as if it were named at `span`.
    fn path(self, span: Span) -> TokenStream {
        let span = span.resolved_at(Span::mixed_site());
        match self {
            Kind::Tool => quote_spanned!(span=> ::corelane::Tool),
            Kind::Prompt => quote_spanned!(span=> ::corelane::Prompt),
        }
    }
}

/// The expansion of an attribute with `arguments` on `item`.
pub(crate) fn of(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item: ItemFn = match syn::parse2(item) {
        Ok(item) => item,
        Err(fault) => return fault.into_compile_error(),
    };
    // The compiler must not report the missing function at each of its uses.
    let stand_in = {
        let (visibility, name) = (&item.vis, &item.sig.ident);
        let path = kind.path(Span::mixed_site());
        quote!(#visibility fn #name() -> #path { loop {} })
    };
    let function = check_arguments(kind, arguments, &item);
    match function.and_then(|()| Function::read(item, kind.noun())) {
        Ok(function) => written(kind, &function),
        Err(faults) => {
            let faults = faults.into_compile_error();
            quote!(#faults #stand_in)
        }
    }
}

fn check_arguments(kind: Kind, arguments: TokenStream, item: &ItemFn) -> Result<()> {
    if arguments.is_empty() {
        return Ok(());
    }
    let (noun, name) = (kind.noun(), &item.sig.ident);
    let fault = format!(
        "`#[{noun}]` takes no arguments: say the rest where it is added, as in \
         `{name}().with_title(\"..\")`"
    );
    Err(Error::new_spanned(arguments, fault))
}

fn written(kind: Kind, function: &Function) -> TokenStream {
    let Function {
        attributes,
        visibility,
        name,
        description,
        item,
        ..
    } = function;
    let (ident, path) = (&item.sig.ident, kind.path(Span::mixed_site()));
    // Here the compiler finds that the return type cannot be an answer.
    let made = match &item.sig.output {
        ReturnType::Default => path.clone(),
        ReturnType::Type(_, answer) => kind.path(answer.span()),
    };
    let arguments = arguments_type(function);
    let handler = handler(function);
    quote! {
        #(#attributes)*
        #visibility fn #ident() -> #path {
            #item
            #arguments
            #made::new(#name, #description, #handler)
        }
    }
}

/// The type that arguments are read into.
fn arguments_type(function: &Function) -> TokenStream {
    let name = &function.name;
    let fields = function.parameters.iter().map(|parameter| {
        let Parameter {
            attributes,
            name,
            kind,
        } = parameter;
        quote!(#(#attributes)* #name: #kind)
    });
    quote! {
        #[derive(
            ::corelane::expansion::serde::Deserialize,
            ::corelane::expansion::schemars::JsonSchema,
        )]
        #[serde(crate = "::corelane::expansion::serde", rename = #name)]
        #[schemars(crate = "::corelane::expansion::schemars")]
        struct __Arguments { #(#fields),* }
    }
}

/// The closure that calls the function.
fn handler(function: &Function) -> TokenStream {
    let signature = &function.item.sig;
    let (ident, span) = (&signature.ident, Span::mixed_site());
    let local = |name, is_used| match is_used {
        true => Ident::new(name, span).into_token_stream(),
        false => quote!(_),
    };
    let call = local("call", function.takes_call);
    let arguments = local("arguments", !function.parameters.is_empty());
    let first = function.takes_call.then(|| quote!(#call,));
    let names = function.parameters.iter().map(|it| &it.name);
    let wait = signature.asyncness.map(|_| quote!(.await));
    quote! {
        async |#call: &::corelane::Call, #arguments: __Arguments| {
            ::core::result::Result::Ok(#ident(#first #(#arguments.#names),*) #wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenTree;
    use syn::{File, Item};

    use super::*;

    /// The texts of the compile errors in the code.
    fn faults(code: TokenStream) -> Vec<String> {
        let tokens = code.into_iter().flat_map(|token| match token {
            TokenTree::Group(group) => faults(group.stream()),
            TokenTree::Literal(text) => {
                let text: syn::Result<syn::LitStr> = syn::parse2(TokenTree::from(text).into());
                text.map(|text| text.value()).into_iter().collect()
            }
            _ => Vec::new(),
        });
        tokens.collect()
    }

    #[track_caller]
    fn refuses(function: &str, expected: &[&str]) {
        let item: TokenStream = function.parse().unwrap();
        let faults = faults(of(Kind::Tool, TokenStream::new(), item));
        assert_eq!(faults.len(), expected.len(), "{function}: {faults:?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.contains(expected), "{function}: {fault}");
        }
    }

    #[test]
    fn refuses_functions_that_cannot_be_served() {
        refuses("fn a() {}", &["write a doc comment"]);
        refuses("#[doc(hidden)] fn a() {}", &["write a doc comment"]);
        refuses("struct A;", &["expected `fn`"]);
        refuses("/// A.\n fn a(&self) {}", &["`Server::with_state`"]);
        refuses("/// A.\n fn a<T>(t: T) {}", &["name its types"]);
        refuses("/// A.\n fn a() where u8: Copy {}", &["no generics"]);
        refuses("/// A.\n unsafe fn a() {}", &["make it safe"]);
        refuses("/// A.\n fn a(_: u8) {}", &["plain name"]);
        refuses("/// A.\n fn a((b, c): (u8, u8)) {}", &["plain name"]);
        refuses("/// A.\n fn a(ref b: u8) {}", &["plain name"]);
        refuses("/// A.\n fn a(b: &str) {}", &["take `String`"]);
        refuses("/// A.\n fn a(b: Vec<(u8, &str)>) {}", &["take `String`"]);
        refuses(
            "/// A.\n fn a(b: Cow<'static, str>) {}",
            &["without a lifetime"],
        );
        refuses("/// A.\n fn a(b: impl Copy) {}", &["name the type"]);
        refuses("/// A.\n fn a(b: u8, call: &Call) {}", &["move it there"]);
        refuses("/// A.\n fn a(call: &mut Call) {}", &["take `&Call`"]);
        refuses("/// A.\n fn a(call: Call) {}", &["take `&Call`"]);
        refuses("/// A.\n fn a(it: corelane::Call) {}", &["take `&Call`"]);
        refuses("/// A.\n fn a(b: u8, call: Call) {}", &["move it there"]);
        refuses(
            "/// A.\n fn a<'a>(call: &'a Call) {}",
            &["no generics", "take `&Call`"],
        );
        refuses(
            "/// A.\n fn a(#[serde(default)] call: &Call) {}",
            &["no attributes"],
        );
        refuses("/// A.\n fn a(#[cfg(test)] b: u8) {}", &["doc comments"]);
    }

    #[test]
    fn a_type_of_the_author_that_is_called_call_may_be_named_by_its_path() {
        let item: TokenStream = "/// A.\n fn a(call: phone::Call) {}".parse().unwrap();
        let code = of(Kind::Tool, TokenStream::new(), item).to_string();
        assert!(!code.contains("compile_error"), "{code}");
    }

    #[test]
    fn says_all_that_is_wrong_at_once() {
        refuses(
            "fn a<T>(b: &str, (c, d): T) {}",
            &["no generics", "doc comment", "take `String`", "plain name"],
        );
    }

    #[test]
    fn refused_arguments_name_the_form_to_write() {
        let item = quote!(
            /// A.
            fn a() {}
        );
        let faults = faults(of(Kind::Prompt, quote!(title = "A"), item));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("`#[prompt]` takes no arguments"));
        assert!(
            faults[0].ends_with("`a().with_title(\"..\")`"),
            "{faults:?}"
        );
    }

    #[test]
    fn attributes_go_where_they_belong() {
        let code = quote!(
            /// A.
            #[expect(unused)]
            #[inline]
            pub(crate) fn a(
                /// B.
                #[serde(default)]
                b: u8,
            ) {
            }
        );
        let written: File = syn::parse2(of(Kind::Tool, TokenStream::new(), code)).unwrap();
        let names = |attributes: &[syn::Attribute]| -> Vec<String> {
            let paths = attributes.iter().map(|it| it.path());
            paths.map(|it| it.to_token_stream().to_string()).collect()
        };
        let [Item::Fn(outer)] = &written.items[..] else {
            panic!("one function stands in its place");
        };
        assert_eq!(names(&outer.attrs), ["doc", "expect"]);
        assert!(matches!(outer.vis, syn::Visibility::Restricted(_)));
        let [
            syn::Stmt::Item(Item::Fn(inner)),
            syn::Stmt::Item(Item::Struct(arguments)),
            syn::Stmt::Expr(_, None),
        ] = &outer.block.stmts[..]
        else {
            panic!("the function, its arguments, and what is made of them");
        };
        assert_eq!(names(&inner.attrs), ["inline"]);
        assert!(matches!(inner.vis, syn::Visibility::Inherited));
        let syn::FnArg::Typed(parameter) = &inner.sig.inputs[0] else {
            panic!("a parameter is kept");
        };
        assert!(parameter.attrs.is_empty());
        let field = arguments.fields.iter().next().unwrap();
        assert_eq!(names(&field.attrs), ["doc", "serde"]);
    }
}
