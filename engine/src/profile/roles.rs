//! The cores of each role.
//!
//! Roles name cores and decide nothing else: `server` keeps threads to these cores.

use super::Profile;
use super::cores::{self, CoreError, CoreList};
use super::role::CoreRole;

impl Profile {
    /// The role of a core, `shard` unless a `[[core]]` section sets another one.
    ///
    /// ```
    /// use corelane::profile::{CoreRole, Profile};
    /// let profile = Profile::from_toml("[[core]]\nid = 0\nrole = \"none\"").expect("valid");
    /// assert_eq!(profile.role_of(0), CoreRole::None);
    /// assert_eq!(profile.role_of(1), CoreRole::Shard);
    /// ```
    #[must_use]
    pub fn role_of(&self, core_id: usize) -> CoreRole {
        let own = self.core.iter().find(|core| core.id == core_id);
        own.map_or(CoreRole::Shard, |core| core.role)
    }

    /// The cores that shards may have, in the order of their ids.
    ///
    /// # Errors
    /// As [`Profile::choose_cores`].
    pub(crate) fn cores_for_shards(&self) -> Result<CoreList, CoreError> {
        let available = cores::available()?;
        let tuned: Vec<_> = self.core.iter().map(|core| core.id).collect();
        cores::check_tuned(&tuned, &available)?;
        let for_shards = |id: &usize| self.role_of(*id) == CoreRole::Shard;
        let ids = available.as_slice().iter().copied().filter(for_shards);
        CoreList::distinct(ids.collect()).map_err(|_| CoreError::NoneForShards)
    }

    /// The cores for the threads of a role, of those that the calling thread may run on. A server
    /// on standard input and output leaves all threads to the kernel.
    ///
    /// # Errors
    /// The affinity mask cannot be read.
    pub(crate) fn cores_of(&self, role: CoreRole) -> Result<Option<Vec<usize>>, CoreError> {
        match self.server.stdio {
            true => Ok(None),
            false => Ok(self.cores_among(role, cores::available()?.as_slice())),
        }
    }

    /// The cores of `available` for the threads of a role: those that have it, or else all that
    /// are not left to other programs. Nothing if no core has another role than a shard: threads
    /// are free to run on every core then.
    fn cores_among(&self, role: CoreRole, available: &[usize]) -> Option<Vec<usize>> {
        if self.core.iter().all(|core| core.role.is_shard()) {
            return None;
        }
        let those = |is_one: &dyn Fn(CoreRole) -> bool| {
            let cores = available.iter().copied();
            cores.filter(|id| is_one(self.role_of(*id))).collect()
        };
        let own: Vec<usize> = those(&|other| other == role);
        Some(match own.is_empty() {
            true => those(&|other| other != CoreRole::None),
            false => own,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CoreRole, Profile};

    #[test]
    fn threads_of_a_role_have_its_cores_or_else_all_that_are_not_left_to_others() {
        let among = |text: &str, role| {
            let profile = Profile::from_toml(text).expect("valid");
            profile.cores_among(role, &[0, 1, 2, 3])
        };
        let tuned = "[[core]]\nid = 1\nbudget.lane_batch = 8\n";
        assert_eq!(among(tuned, CoreRole::Offload), None);
        let none = "[[core]]\nid = 3\nrole = \"none\"\n";
        assert_eq!(among(none, CoreRole::Offload), Some(vec![0, 1, 2]));
        let both = format!("{none}[[core]]\nid = 2\nrole = \"offload\"");
        assert_eq!(among(&both, CoreRole::Offload), Some(vec![2]));
        assert_eq!(among(&both, CoreRole::Control), Some(vec![0, 1, 2]));
    }
}
