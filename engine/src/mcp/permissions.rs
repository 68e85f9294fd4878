//! The permissions of requesters: which entries of the catalog each may use and see.
//!
//! Without a policy everything is allowed, and nothing is looked up. With one, each class of
//! identities has a view: one bit for each entry, made when a class first sends a request and
//! forgotten when the policy or the catalog changes. A use of an entry that is hidden from its
//! requester is answered like that of an unknown one.

use std::rc::Rc;
use std::sync::Arc;

use corelane_protocol::binding::refusal::Category;
use corelane_protocol::jsonrpc::{Id, Value, encode};

use super::disposition::Disposition;
use super::requester::Requester;
use crate::catalog::Catalog;
use crate::guard::identity::Identity;
use crate::guard::policy::{
    Argument, Class, Decision, Entries, EntryKind, GrantId, Policy, Subject, View, ViewBuilder,
    Views,
};
use crate::guard::refusal::{Challenge, Refusal};

/// The permissions of the requesters of one shard.
#[derive(Debug)]
pub(super) struct Permissions {
    policy: Option<Arc<Policy>>,
    views: Views,
}

/// A use of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use<'a> {
    /// A call of the tool at this place, with these arguments.
    Tool(usize, &'a str, Value<'a>),
    /// A use of the prompt at this place.
    Prompt(usize),
    /// A use of the template at this place, not of one of its resources.
    Template(usize),
    /// A use of the resource with this URI.
    Resource(&'a str),
}

/// Why an entry may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It is as if it did not exist.
    Hidden,
    /// The scopes of this grant are needed.
    ScopeMissing(GrantId),
    /// Not with these arguments.
    Arguments,
}

impl Denied {
    /// The word in records.
    pub(super) fn word(self) -> &'static str {
        match self {
            Denied::Hidden => "hidden",
            Denied::ScopeMissing(_) => "scope_missing",
            Denied::Arguments => "arguments_denied",
        }
    }
}

impl Permissions {
    /// Everything is allowed until there is a policy; then at most `views_max` views are kept.
    pub(super) fn new(views_max: usize) -> Permissions {
        Permissions {
            policy: None,
            views: Views::new(views_max),
        }
    }

    /// Takes the policy of a snapshot. The views stay if it is that of before, as other keys alone
    /// change no view.
    pub(super) fn set_policy(&mut self, policy: Arc<Policy>) {
        let policy = Some(policy).filter(|policy| !policy.is_open());
        let id = |policy: &Option<Arc<Policy>>| policy.as_ref().map(|policy| policy.id());
        if id(&policy) != id(&self.policy) {
            self.views.clear();
        }
        self.policy = policy;
    }

    /// The policy, unless everything is allowed.
    pub(super) fn policy(&self) -> Option<&Policy> {
        self.policy.as_deref()
    }

    /// Forgets the views, because the catalog has other entries.
    pub(super) fn on_catalog_changed(&mut self) {
        self.views.clear();
    }

    /// The view of a requester; none if everything is allowed.
    #[inline]
    pub(super) fn view(
        &mut self,
        catalog: &Catalog,
        requester: &Requester<'_>,
    ) -> Option<Rc<View>> {
        let policy = Arc::clone(self.policy.as_ref()?);
        let class = class_of(&policy, requester);
        Some(self.view_of(&policy, catalog, class))
    }

    /// Checks a use of an entry.
    ///
    /// # Errors
    /// Why it is denied.
    #[inline]
    pub(super) fn check(
        &mut self,
        catalog: &Catalog,
        requester: &Requester<'_>,
        entry: Use<'_>,
    ) -> Result<(), Denied> {
        match &self.policy {
            None => Ok(()),
            Some(policy) => self.check_with(&Arc::clone(policy), catalog, requester, entry),
        }
    }

    fn check_with(
        &mut self,
        policy: &Policy,
        catalog: &Catalog,
        requester: &Requester<'_>,
        entry: Use<'_>,
    ) -> Result<(), Denied> {
        let class = class_of(policy, requester);
        let (kind, place) = match entry {
            Use::Resource(uri) => {
                return permitted(policy.decide(&class, EntryKind::Resource, uri));
            }
            Use::Tool(place, ..) => (EntryKind::Tool, place),
            Use::Prompt(place) => (EntryKind::Prompt, place),
            Use::Template(place) => (EntryKind::Template, place),
        };
        let view = self.view_of(policy, catalog, class);
        if let Use::Tool(place, name, arguments) = entry
            && view.is_conditional(place)
        {
            let read = |member: &str| argument(arguments, member);
            return permitted(policy.decide_call(&class, name, &read));
        }
        if view.is_allowed(kind, place) {
            return Ok(());
        }
        if !view.is_acquirable(kind, place) {
            return Err(Denied::Hidden);
        }
        permitted(policy.decide(&class, kind, catalog.plan().name(kind, place)))
    }

    fn view_of(&mut self, policy: &Policy, catalog: &Catalog, class: Class) -> Rc<View> {
        if let Some(view) = self.views.find(&class) {
            return view;
        }
        let mut builder = ViewBuilder::new(class);
        let is_complete = builder.step(policy, &**catalog.plan(), usize::MAX);
        debug_assert!(is_complete, "there is no bound on the entries of the step");
        self.views.insert(class, builder.finish())
    }

    /// Answers a use that is denied though the entry is known to its requester.
    #[cold]
    pub(super) fn refuse(&self, denied: Denied, id: Id<'_>, out: &mut Vec<u8>) -> Disposition {
        let (refusal, category) = match (denied, &self.policy) {
            (Denied::ScopeMissing(grant), Some(policy)) => {
                let scopes = policy.challenge_scopes(grant);
                let category = Category::ScopeMissing {
                    rule: grant.number(),
                    policy: policy.id(),
                };
                (
                    Refusal::InsufficientScope(scopes.join(" ").into()),
                    category,
                )
            }
            _ => (Refusal::Denied, Category::Forbidden),
        };
        write_refusal(&refusal, id, out);
        Disposition::answer(Some(category))
    }
}

/// Appends the message that refuses a request.
pub(crate) fn write_refusal(refusal: &Refusal, id: Id<'_>, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    encode::write_id(&mut text, id);
    let id = String::from_utf8_lossy(&text);
    let answer = refusal.answer(&Challenge::default(), Some(&id));
    out.extend_from_slice(answer.body.as_bytes());
}

/// The class of a requester. An identity that another snapshot made is judged by this policy.
fn class_of(policy: &Policy, requester: &Requester<'_>) -> Class {
    let address = requester.address();
    let subject = |identity: &Identity| {
        policy.class_of(&Subject {
            scopes: identity.scopes,
            roles: identity.roles,
            tenant: identity.tenant.as_deref(),
            address,
        })
    };
    match requester.identity() {
        Some(identity) if identity.policy == policy.id() => subject(identity),
        Some(identity) => subject(&Identity::clone(identity).under(policy)),
        None => policy.class_of(&Subject {
            roles: policy.roles_of_anonymous(),
            address,
            ..Subject::default()
        }),
    }
}

fn permitted(decision: Decision) -> Result<(), Denied> {
    match decision {
        Decision::Allowed => Ok(()),
        Decision::Hidden => Err(Denied::Hidden),
        Decision::Acquirable(grant) => Err(Denied::ScopeMissing(grant)),
        Decision::ArgumentsDenied => Err(Denied::Arguments),
    }
}

/// A member of the arguments of a call, in the form that conditions compare.
fn argument<'a>(arguments: Value<'a>, member: &str) -> Option<Argument<'a>> {
    let value = arguments.as_object()?.get(member)?;
    if let Some(text) = value.as_str() {
        return Some(Argument::Text(text));
    }
    if let Some(boolean) = value.as_bool() {
        return Some(Argument::Boolean(boolean));
    }
    Some(Argument::of_number(value.as_i64(), value.as_f64()))
}
