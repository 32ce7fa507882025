//! The templates and the site vendor-data that guests are served from: listed, shown, changed, and taken anew from their files without a restart.
//!
//! Files are read and tried here, never while a guest is answered. What is in force is replaced as a whole, and only by a set
//! in which every template works.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{Daemon, selection};
use crate::config::{Config, VendorData};
use crate::control::{AddTemplate, Answer, Refusal, TemplateInfo, TemplateRequest};
use crate::export::files::write_atomically;
use crate::model::{TemplateName, Vm};
use crate::seed::{self, Draft, Origin, Site, Templates, TemplatesError};

/// What the operator's files are readable by: a template may hold what is secret at this site.
const MODE: u32 = 0o600;

/// The templates in force, and where the operator's own lie.
#[derive(Debug)]
pub(super) struct Library {
    served: Arc<seed::Library>,
    directory: PathBuf,
    site: VendorData,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Library {
    /// Loads the templates.
    pub(super) fn open(config: &Config) -> Result<Self, Refusal> {
        let directory = config.templates();
        let site = config.vendor_data.clone();
        let templates = read(&directory, &site, None)?;
        Ok(Self {
            served: Arc::new(seed::Library::from_pointee(templates)),
            directory,
            site,
            changing: Mutex::default(),
        })
    }

    /// The templates in force.
    pub(super) fn now(&self) -> Arc<Templates> {
        self.served.load_full()
    }

    /// The same for who goes on asking.
    pub(super) fn served(&self) -> Arc<seed::Library> {
        Arc::clone(&self.served)
    }

    fn read(&self, draft: Option<&Draft>) -> Result<Templates, TemplatesError> {
        read(&self.directory, &self.site, draft)
    }

    /// Takes what is in the files now; what was in force stays so when something in them is broken.
    fn reload(&self) -> Result<Arc<Templates>, Refusal> {
        let templates = self.read(None).map_err(|error| {
            Refusal::request(error.to_string())
                .hint("nothing has changed: guests are served what they were before")
        })?;
        self.served.store(Arc::new(templates));
        Ok(self.now())
    }
}

/// Reads all files and tries what they say; with a change, what they would say.
fn read(directory: &Path, site: &VendorData, draft: Option<&Draft>) -> Result<Templates, TemplatesError> {
    let site = Site::load(site.everywhere.as_deref(), &site.networks)?;
    Ok(Templates::drafted(Some(directory), draft)?.with_site(site))
}

/// Carries out a request about templates.
pub(super) async fn handle(daemon: &Arc<Daemon>, request: TemplateRequest) -> Result<Answer, Refusal> {
    let daemon = Arc::clone(daemon);
    // Files are read, written and synced.
    tokio::task::spawn_blocking(move || match request {
        TemplateRequest::List => Ok(list(&daemon)),
        TemplateRequest::Show { name } => show(&daemon, &name).map(Answer::Text),
        TemplateRequest::Add(written) => add(&daemon, written).map(Answer::Done),
        TemplateRequest::Remove { name } => remove(&daemon, &name).map(Answer::Done),
        TemplateRequest::Reload => reload(&daemon).map(Answer::Done),
    })
    .await?
}

/// Takes the files anew whenever the process is told to (SIGHUP), until `stop`.
pub(super) async fn keep(daemon: Arc<Daemon>, stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::warn!("SIGHUP can not be listened to; `seedbed template reload` does the same.");
        return;
    };
    while stop.run_until_cancelled(hangup.recv()).await.flatten().is_some() {
        match handle(&daemon, TemplateRequest::Reload).await {
            Ok(Answer::Done(sentence)) => tracing::info!("{sentence}."),
            Ok(_) => {}
            Err(refusal) => tracing::error!("{refusal}; guests are served what they were before."),
        }
    }
}

fn list(daemon: &Daemon) -> Answer {
    let templates = daemon.templates.now();
    let shown = templates.origins().map(|(name, origin)| TemplateInfo {
        name: name.to_string(),
        origin: told(origin),
        replaces_built_in: matches!(origin, Origin::File(_)) && templates.has_built_in(name),
        used_by: users(daemon, name).collect(),
    });
    Answer::Templates(shown.collect())
}

fn told(origin: &Origin) -> String {
    match origin {
        Origin::BuiltIn(_) => "built-in".to_owned(),
        Origin::File(path) => path.display().to_string(),
    }
}

fn show(daemon: &Daemon, name: &str) -> Result<String, Refusal> {
    let name = selection::template(daemon, Some(&name.to_owned()))?;
    let source = daemon.templates.now().source(&name);
    source.ok_or_else(|| Refusal::not_found(format!("there is no template `{name}`")))
}

fn add(daemon: &Daemon, written: AddTemplate) -> Result<String, Refusal> {
    let AddTemplate {
        name,
        source,
        file,
        replace,
    } = written;
    let name: TemplateName = selection::parse(&name)?;
    let library = &daemon.templates;
    let _changing = library.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let path = seed::file_of(&library.directory, &name);
    if path.exists() && !replace {
        return Err(Refusal::request(format!(
            "there is a template `{name}` of yours already: {}",
            path.display()
        ))
        .hint("--force replaces it; --name gives this one another name"));
    }
    let draft = Draft::Put {
        name: name.clone(),
        source: source.clone(),
        file,
    };
    library
        .read(Some(&draft))
        .map_err(|error| Refusal::request(error.to_string()).hint("nothing has changed"))?;
    write_atomically(&path, MODE, |file| file.write_all(source.as_bytes()))
        .map_err(|error| Refusal::host(error.to_string()))?;
    let templates = library.reload()?;
    let place = if templates.has_built_in(&name) {
        " in place of the one that is built in"
    } else {
        ""
    };
    let served = match users(daemon, &name).count() {
        0 => "no VM uses it yet".to_owned(),
        1 => "1 VM is served it from now on".to_owned(),
        count => format!("{count} VMs are served it from now on"),
    };
    Ok(format!("{name} is in force{place}; {served}"))
}

fn remove(daemon: &Daemon, name: &str) -> Result<String, Refusal> {
    let name = selection::template(daemon, Some(&name.to_owned()))?;
    let library = &daemon.templates;
    let _changing = library.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let former = library.now();
    let Some(Origin::File(path)) = former.origin_of(&name) else {
        return Err(
            Refusal::request(format!("{name} is built in, and can not be removed"))
                .hint("`seedbed template add` puts another one in its place"),
        );
    };
    let without = library
        .read(Some(&Draft::Without(name.clone())))
        .map_err(|error| Refusal::request(format!("{name} can not be removed: {error}")))?;
    let remains = without.has(&name);
    // Whoever registers a VM from here on finds the template gone, so nobody can begin to use it unseen.
    library.served.store(Arc::new(without));
    let removed = unused(daemon, &name, remains).and_then(|()| {
        std::fs::remove_file(path)
            .map_err(|error| Refusal::host(format!("can not remove {}: {error}", path.display())))
    });
    if let Err(refusal) = removed {
        library.served.store(former);
        return Err(refusal);
    }
    Ok(match (remains, users(daemon, &name).count()) {
        (false, _) => format!("{name} removed"),
        (true, 0) => format!("{name} removed; the one that is built in is in force again"),
        (true, count) => format!(
            "{name} removed; the one that is built in is in force again, also for the VMs that use it ({count})"
        ),
    })
}

/// Refuses to take a template away from VMs. One that is built in steps into its place.
fn unused(daemon: &Daemon, name: &TemplateName, remains: bool) -> Result<(), Refusal> {
    let users: Vec<_> = users(daemon, name).collect();
    if remains || users.is_empty() {
        return Ok(());
    }
    Err(
        Refusal::request(format!("{name} is the template of {}", users.join(", ")))
            .hint("delete them first, or put another text in its place: seedbed template add --force"),
    )
}

fn reload(daemon: &Daemon) -> Result<String, Refusal> {
    let library = &daemon.templates;
    let _changing = library.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let templates = library.reload()?;
    let own = templates
        .origins()
        .filter(|(_, origin)| matches!(origin, Origin::File(_)))
        .count();
    Ok(format!(
        "templates taken anew: {own} of {}, {} built in",
        library.directory.display(),
        templates.origins().count() - own
    ))
}

/// The names of the VMs that a template is rendered for, in alphabetical order.
fn users(daemon: &Daemon, name: &TemplateName) -> impl Iterator<Item = String> {
    let directory = daemon.directory();
    let used = directory.each_vm().filter(|vm: &&Arc<Vm>| vm.template == *name);
    let mut names: Vec<_> = used.map(|vm| vm.name.to_string()).collect();
    names.sort_unstable();
    names.into_iter()
}
