//! The keys that may log in to an account now, one a line: what a guest's sshd asks by `AuthorizedKeysCommand`
//! (`sshd_config(5)`), so that a change of keys counts at once.

use std::sync::Arc;

use super::answer::{Asked, Response, TEXT, document};
use crate::model::{SshKey, Vm};

/// Answers which keys may log in to an account of the VM. One that it does not know has none.
pub(super) fn answer(asked: Asked<'_>, account: &str) -> Response {
    let image = asked.image().map(|image| image.default_user.as_str());
    let lines = of(asked.vm, image, account).fold(String::new(), |lines, key| lines + key.as_str() + "\n");
    document("keys", "keys", TEXT, Arc::from(lines.into_bytes()))
}

fn of<'a>(vm: &'a Vm, image_user: Option<&str>, account: &str) -> impl Iterator<Item = &'a SshKey> {
    let user = vm.users().iter().find(|user| user.name.as_str() == account);
    let keys = match user {
        Some(user) => Some(vm.keys_of(user)),
        None => (image_user == Some(account)).then_some(&vm.keys),
    };
    keys.into_iter().flat_map(|keys| keys.iter())
}
