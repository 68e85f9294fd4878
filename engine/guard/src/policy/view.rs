//! Views: the entries that a class of identities may use, as one bit each.

use std::collections::HashMap;
use std::rc::Rc;

use super::decide::{Class, Decision};
use super::index::ClassRules;
use super::rules::Policy;
use super::{Entries, EntryKind};

/// The entries of a catalog that one class of identities may use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct View {
    kinds: [Lists; EntryKind::ALL.len()],
}

/// Bits of the entries of one kind, by place.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lists {
    count: usize,
    allowed: Vec<u64>,
    acquirable: Vec<u64>,
    /// Allowed or, if lists have these, acquirable.
    listed: Vec<u64>,
    /// Whether arguments of calls take part.
    conditional: Vec<u64>,
}

impl View {
    /// Whether an entry may be used; of a tool with conditions, whether it may with some arguments.
    pub fn is_allowed(&self, kind: EntryKind, place: usize) -> bool {
        bit(&self.kinds[kind as usize].allowed, place)
    }

    /// Whether an entry may be used with more scopes.
    pub fn is_acquirable(&self, kind: EntryKind, place: usize) -> bool {
        bit(&self.kinds[kind as usize].acquirable, place)
    }

    /// Whether [`Policy::decide_call`] must see the arguments of a call of the tool at `place`.
    pub fn is_conditional(&self, place: usize) -> bool {
        bit(&self.kinds[EntryKind::Tool as usize].conditional, place)
    }

    /// The entries of a list, as one bit for each place, the lowest first.
    pub fn listed(&self, kind: EntryKind) -> &[u64] {
        &self.kinds[kind as usize].listed
    }

    /// Whether a list has every entry, so that it needs no selection.
    pub fn lists_all(&self, kind: EntryKind) -> bool {
        let lists = &self.kinds[kind as usize];
        let listed: u32 = lists.listed.iter().map(|word| word.count_ones()).sum();
        usize::try_from(listed) == Ok(lists.count)
    }
}

fn bit(words: &[u64], place: usize) -> bool {
    let word = words.get(place / 64);
    word.is_some_and(|word| word & 1 << (place % 64) != 0)
}

/// A view that is built in pieces.
#[derive(Debug)]
pub struct ViewBuilder {
    class: Class,
    /// From the first step on.
    rules: Option<ClassRules>,
    view: View,
    kind: usize,
}

impl ViewBuilder {
    /// Nothing is decided yet.
    pub fn new(class: Class) -> ViewBuilder {
        let view = View::default();
        ViewBuilder {
            class,
            rules: None,
            view,
            kind: 0,
        }
    }

    /// Decides about up to `entries_max` more entries. Returns whether the view is complete.
    ///
    /// Every piece must get the same policy and catalog: after a change, begin anew.
    pub fn step(
        &mut self,
        policy: &Policy,
        entries: &impl Entries,
        mut entries_max: usize,
    ) -> bool {
        let rules = self
            .rules
            .get_or_insert_with(|| policy.rules_of(&self.class));
        while let Some(kind) = EntryKind::ALL.get(self.kind) {
            let lists = &mut self.view.kinds[self.kind];
            if lists.count == entries.count(*kind) {
                self.kind += 1;
                continue;
            }
            if entries_max == 0 {
                return false;
            }
            entries_max -= 1;
            let name = entries.name(*kind, lists.count);
            let decision = policy.decide_with((rules, &self.class), *kind, name);
            let is_allowed = decision == Decision::Allowed;
            let is_acquirable = matches!(decision, Decision::Acquirable(_));
            let is_listed = is_allowed || is_acquirable && policy.lists_acquirable;
            let is_conditional = *kind == EntryKind::Tool && policy.has_conditions(name);
            push(&mut lists.allowed, lists.count, is_allowed);
            push(&mut lists.acquirable, lists.count, is_acquirable);
            push(&mut lists.listed, lists.count, is_listed);
            push(&mut lists.conditional, lists.count, is_conditional);
            lists.count += 1;
        }
        true
    }

    /// The view.
    ///
    /// # Panics
    /// The last [`step`](ViewBuilder::step) did not complete it.
    pub fn finish(self) -> View {
        assert_eq!(
            self.kind,
            EntryKind::ALL.len(),
            "a view is used when complete"
        );
        self.view
    }
}

fn push(words: &mut Vec<u64>, place: usize, value: bool) {
    if place.is_multiple_of(64) {
        words.push(0);
    }
    if let Some(last) = words.last_mut() {
        *last |= u64::from(value) << (place % 64);
    }
}

/// The views of one shard, for one policy and one catalog: after a change of either, clear it.
#[derive(Debug)]
pub struct Views {
    views_max: usize,
    views: HashMap<Class, (Rc<View>, u64), foldhash::fast::RandomState>,
    uses: u64,
}

impl Views {
    /// No views, and at most `views_max` of them later.
    pub fn new(views_max: usize) -> Views {
        let views = HashMap::default();
        Views {
            views_max,
            views,
            uses: 0,
        }
    }

    /// The view of a class, if it was built.
    pub fn find(&mut self, class: &Class) -> Option<Rc<View>> {
        self.uses += 1;
        let (view, last_use) = self.views.get_mut(class)?;
        *last_use = self.uses;
        Some(Rc::clone(view))
    }

    /// Keeps the view of a class. The one that was found least recently makes place for it.
    pub fn insert(&mut self, class: Class, view: View) -> Rc<View> {
        if self.views.len() >= self.views_max {
            let oldest = self.views.iter().min_by_key(|(_, (_, last_use))| *last_use);
            if let Some(oldest) = oldest.map(|(class, _)| *class) {
                self.views.remove(&oldest);
            }
        }
        self.uses += 1;
        let view = Rc::new(view);
        if self.views_max > 0 {
            self.views.insert(class, (Rc::clone(&view), self.uses));
        }
        view
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.views.len()
    }

    /// Forgets all of them, because the policy or the catalog changed.
    pub fn clear(&mut self) {
        self.views.clear();
    }
}
