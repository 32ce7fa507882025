//! The stored form of what becomes of a VM's disk when it powers off.

use serde::{Deserialize, Serialize};

use super::{RecordError, error, field};
use crate::model::workshop::{Answers, Family, Install, Work, Workshop};

/// Since schema 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkshopV3 {
    image: String,
    /// `None` when the image is edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    install: Option<InstallV3>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstallV3 {
    family: String,
    cmdline: String,
    default_user: String,
    has_media: bool,
    /// `None` when the installer asks at the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answers: Option<AnswersV3>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswersV3 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mirror: Option<String>,
}

impl From<&Workshop> for WorkshopV3 {
    fn from(workshop: &Workshop) -> Self {
        Self {
            image: workshop.image.to_string(),
            install: workshop.install().map(InstallV3::from),
        }
    }
}

impl TryFrom<WorkshopV3> for Workshop {
    type Error = RecordError;

    fn try_from(stored: WorkshopV3) -> Result<Self, RecordError> {
        Ok(Self {
            image: field("workshop.image", &stored.image)?,
            work: match stored.install {
                Some(install) => Work::Install(install.try_into()?),
                None => Work::Edit,
            },
        })
    }
}

impl From<&Install> for InstallV3 {
    fn from(install: &Install) -> Self {
        let Install {
            family,
            cmdline,
            default_user,
            has_media,
            answers,
        } = install;
        Self {
            family: family.as_str().to_owned(),
            cmdline: cmdline.clone(),
            default_user: default_user.clone(),
            has_media: *has_media,
            answers: answers.as_ref().map(|answers| AnswersV3 {
                mirror: answers.mirror.as_ref().map(ToString::to_string),
            }),
        }
    }
}

impl TryFrom<InstallV3> for Install {
    type Error = RecordError;

    fn try_from(stored: InstallV3) -> Result<Self, RecordError> {
        let family = Family::ALL
            .into_iter()
            .find(|family| family.as_str() == stored.family);
        let answers = |stored: AnswersV3| {
            let mirror = stored
                .mirror
                .map(|mirror| field("workshop.mirror", &mirror))
                .transpose()?;
            Ok::<_, RecordError>(Answers { mirror })
        };
        Ok(Self {
            family: family.ok_or_else(|| {
                error(
                    "workshop.family",
                    &format_args!("`{}` is unknown", stored.family.escape_debug()),
                )
            })?,
            cmdline: stored.cmdline,
            default_user: stored.default_user,
            has_media: stored.has_media,
            answers: stored.answers.map(answers).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workshop_is_read_as_it_was_written() {
        let install = |answers| {
            Work::Install(Install {
                family: Family::RedHat,
                cmdline: "console=ttyS0".to_owned(),
                default_user: "cloud-user".to_owned(),
                has_media: true,
                answers,
            })
        };
        let mirror = Some("http://mirror/alma".parse().unwrap());
        for work in [
            Work::Edit,
            install(None),
            install(Some(Answers::default())),
            install(Some(Answers { mirror })),
        ] {
            let workshop = Workshop {
                image: "alma-9.4".parse().unwrap(),
                work,
            };
            let text = serde_json::to_string(&WorkshopV3::from(&workshop)).unwrap();
            let stored: WorkshopV3 = serde_json::from_str(&text).unwrap();
            assert_eq!(Workshop::try_from(stored).unwrap(), workshop, "{text}");
        }
    }

    #[test]
    fn what_is_no_workshop_is_told_by_its_field() {
        let read = |text: &str| Workshop::try_from(serde_json::from_str::<WorkshopV3>(text).unwrap());
        let bad =
            r#"{"image":"x","install":{"family":"beos","cmdline":"","default_user":"x","has_media":false}}"#;
        let error = read(bad).unwrap_err().to_string();
        assert_eq!(error, "workshop.family: `beos` is unknown");
        assert!(
            read(r#"{"image":"-"}"#)
                .unwrap_err()
                .to_string()
                .starts_with("workshop.image: ")
        );
    }
}
