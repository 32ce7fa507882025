//! Where the configuration and the admin socket are: the one answer that the daemon and its clients must share.
//!
//! Pure: the environment and the file's text come in as arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The configuration's place when nothing else is said.
pub const CONFIG: &str = "/etc/seedbed/config.yaml";
/// The state directory when nothing else is said.
pub const STATE_DIR: &str = "/var/lib/seedbed";
/// The run directory when nothing else is said.
pub const RUN_DIR: &str = "/run/seedbed";
/// The environment variable that names another configuration.
pub const CONFIG_VARIABLE: &str = "SEEDBED_CONFIG";
/// The environment variable that names another admin socket.
pub const SOCKET_VARIABLE: &str = "SEEDBED_SOCKET";

/// The configuration file: `SEEDBED_CONFIG`, else `/etc/seedbed/config.yaml`.
pub fn config(env: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    from(env, CONFIG_VARIABLE).unwrap_or_else(|| PathBuf::from(CONFIG))
}

/// The admin socket: `SEEDBED_SOCKET`, else what the configuration says, else `/run/seedbed/seedbed.sock`.
///
/// `file` is the configuration's text, where it could be read. A client takes from it only what it needs: a mistake
/// elsewhere in it is the daemon's to report, and must not keep a client from the daemon that runs already.
pub fn socket(env: impl Fn(&str) -> Option<OsString>, file: Option<&str>) -> PathBuf {
    from(env, SOCKET_VARIABLE).unwrap_or_else(|| {
        let part: Part = file
            .and_then(|text| serde_yaml::from_str::<Option<Part>>(text).ok().flatten())
            .unwrap_or_default();
        socket_of(part.socket, part.run_dir.as_deref())
    })
}

/// The admin socket that a configuration means.
pub(super) fn socket_of(socket: Option<PathBuf>, run_dir: Option<&Path>) -> PathBuf {
    socket.unwrap_or_else(|| run_dir.unwrap_or(Path::new(RUN_DIR)).join("seedbed.sock"))
}

/// The part of the configuration that a client reads.
#[derive(Default, Deserialize)]
struct Part {
    socket: Option<PathBuf>,
    run_dir: Option<PathBuf>,
}

/// An empty variable is as good as none: `SEEDBED_SOCKET= seedbed list`.
fn from(env: impl Fn(&str) -> Option<OsString>, variable: &str) -> Option<PathBuf> {
    env(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<OsString> {
        None
    }

    fn only(variable: &'static str, value: &'static str) -> impl Fn(&str) -> Option<OsString> {
        move |asked| (asked == variable).then(|| value.into())
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
        let file = Some("socket: /srv/a.sock\nrun_dir: /srv/run\n");
        let cases = [
            (socket(only(SOCKET_VARIABLE, "/tmp/x.sock"), file), "/tmp/x.sock"),
            (socket(only(SOCKET_VARIABLE, ""), file), "/srv/a.sock"),
            (socket(none, file), "/srv/a.sock"),
            (socket(none, Some("run_dir: /srv/run")), "/srv/run/seedbed.sock"),
            (socket(none, Some("")), "/run/seedbed/seedbed.sock"),
            (socket(none, None), "/run/seedbed/seedbed.sock"),
            (config(none), CONFIG),
            (config(only(CONFIG_VARIABLE, "/srv/c.yaml")), "/srv/c.yaml"),
        ];
        for (path, expected) in cases {
            assert_eq!(path, Path::new(expected));
        }
    }

    #[test]
    fn a_mistake_elsewhere_in_the_file_does_not_hide_the_socket() {
        let file = "socket: /srv/a.sock\nnetworks: 5\nnonsense: true\n";
        assert_eq!(socket(none, Some(file)), Path::new("/srv/a.sock"));
        assert_eq!(
            socket(none, Some("{ not yaml")),
            Path::new("/run/seedbed/seedbed.sock")
        );
    }
}
