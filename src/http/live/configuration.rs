//! The configuration of a session, which its client may change while it runs.
//!
//! It is read from and shown in two forms: OpenAI's present one, nested, and the flat one of its beta. A flat
//! update is turned into a nested one first, so that one reader knows all fields.

mod forms;

use serde_json::{Value, json};

use super::audio::AudioFormat;
use super::field_reader::{Change, FieldReader, InvalidField, Object};
use super::turn_detection::TurnDetectionField;
use crate::http::error::{ApiError, LiveError};
use crate::http::parameters::{Api, Parameters};
use crate::http::{Context, HttpSettings, models};
use crate::live::{Delay, SessionOptions};
use crate::session::SessionConfig;
pub use forms::SessionForm;

/// The values of `include`.
const LOGPROBS: &str = "item.input_audio_transcription.logprobs";
const SPEAKERS: &str = "speakers";
/// The values of `delay`.
const DELAYS: [(&str, Delay); 5] = [
    ("minimal", Delay::Minimal),
    ("low", Delay::Low),
    ("medium", Delay::Medium),
    ("high", Delay::High),
    ("xhigh", Delay::XHigh),
];

/// The configuration of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    /// How the client encodes its audio.
    pub format: AudioFormat,
    /// How turns end.
    pub turn_detection: TurnDetectionField,
    /// How early words are committed.
    pub delay: Option<Delay>,
    transcription: Transcription,
    /// Without effect.
    noise_reduction: Option<&'static str>,
    include: Vec<String>,
    /// The protocol has no event for speakers.
    ignores_speakers: bool,
    /// What the client secret names, nested; it cannot be changed.
    fixed: Object,
}

/// The fields of `transcription`, as they were sent.
#[derive(Clone, Debug, Default, PartialEq)]
struct Transcription {
    model: Option<String>,
    language: Option<String>,
    languages: Vec<String>,
    keywords: Vec<String>,
    prompt: Option<String>,
}

impl Configuration {
    /// Finds no speakers, whatever the session includes: its protocol has no event for them.
    pub fn ignore_speakers(&mut self) {
        self.ignores_speakers = true;
    }

    /// Sets the model if the session names none: the URL's is a default.
    pub fn set_default_model(&mut self, name: &str) {
        if !name.trim().is_empty() && self.transcription.model.is_none() {
            self.transcription.model = Some(name.trim().to_owned());
        }
    }

    /// Sets a field of `transcription` that is a text, from a query. What a client secret names stays.
    ///
    /// # Errors
    /// [`ApiError`] that names the parameter.
    pub fn set_text(
        &mut self,
        name: &'static str,
        value: &str,
        settings: &HttpSettings,
    ) -> Result<(), ApiError> {
        let session = json!({ "audio": { "input": { "transcription": { name: value } } } });
        let Value::Object(session) = session else {
            return Ok(());
        };
        let updated = self.update(&session, SessionForm::Nested, settings);
        updated.map_err(|error| match error {
            // The query has no path.
            LiveError::Field {
                code,
                message,
                param,
            } => LiveError::Field {
                code,
                message: message.replace(&param, name),
                param: name.to_owned(),
            }
            .into(),
            error => error.into(),
        })
    }

    /// Changes what `session` contains; nothing if it is invalid.
    ///
    /// # Errors
    /// [`LiveError`] that names the field in the client's form.
    pub fn update(
        &mut self,
        session: &Object,
        form: SessionForm,
        settings: &HttpSettings,
    ) -> Result<(), LiveError> {
        let session = form.nested(session);
        if let Some(path) = changed_path(&self.fixed, &session) {
            let param = form.name(&path);
            let message = format!("'{param}' is set by the client secret and cannot be changed.");
            return Err(LiveError::Field {
                code: "immutable_value",
                param,
                message,
            });
        }
        let mut changed = self.clone();
        let read = changed.read(&session);
        let checked = read.and_then(|()| changed.check(settings));
        checked.map_err(
            |InvalidField {
                 path,
                 value,
                 expected,
             }| {
                let expected = form.expected(&path).unwrap_or(&expected);
                LiveError::invalid_value(form.name(&path), &value, expected)
            },
        )?;
        *self = changed;
        Ok(())
    }

    /// Sets what `session` contains, nested, and makes it unchangeable.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn fix(&mut self, session: Object, settings: &HttpSettings) -> Result<(), LiveError> {
        self.update(&session, SessionForm::Nested, settings)?;
        self.fixed = session;
        Ok(())
    }

    /// What the session runs with this configuration.
    ///
    /// # Errors
    /// [`ApiError`] if the model is unknown.
    pub fn session_config(&self, context: &Context) -> Result<SessionConfig, ApiError> {
        let loaded_models = context.transcriber.models();
        let default = context.aliases.default_model(&**loaded_models.catalog());
        let name = match &self.transcription.model {
            Some(name) => name.as_str(),
            None if context.settings.require_model => {
                let default = default.to_string();
                return Err(ApiError::MissingModel { default });
            }
            None => default.as_str(),
        };
        let model = models::resolve_transcription_model(context, name)?;
        if !loaded_models.is_known(&model) {
            return Err(models::not_found(context, name, &model));
        }
        let parameters = self.parameters(&context.settings);
        let parameters = parameters.map_err(|invalid| {
            LiveError::invalid_value(invalid.path, &invalid.value, &invalid.expected)
        })?;
        let request = parameters.finish(context.settings.defaults(Some(&model)))?;
        let mut transcription = request.options;
        transcription.logprobs = self.includes(LOGPROBS);
        Ok(SessionConfig {
            speakers: self.finds_speakers(name, context)?,
            model,
            transcription,
            policy: SessionOptions {
                turn_detection: self.turn_detection.policy(),
                delay: self.delay.unwrap_or_default(),
            },
        })
    }

    /// Whether the session finds speakers: if it includes them, or its model has a name such as OpenAI's
    /// `gpt-4o-transcribe-diarize` and the networks are there.
    fn finds_speakers(&self, model: &str, context: &Context) -> Result<bool, ApiError> {
        if self.ignores_speakers {
            return Ok(false);
        }
        let networks = models::check_speaker_model(context);
        if self.includes(SPEAKERS) {
            return networks.map(|()| true);
        }
        Ok(model.to_ascii_lowercase().ends_with("-diarize") && networks.is_ok())
    }

    fn includes(&self, item: &str) -> bool {
        self.include.iter().any(|included| included == item)
    }

    /// As `session` of an event shows it, without its identification.
    pub fn to_json(&self, form: SessionForm) -> Object {
        let transcription = &self.transcription;
        let delay = DELAYS.iter().find(|(_, delay)| Some(*delay) == self.delay);
        let mut shown = json!({
            "model": transcription.model,
            "language": transcription.language,
            "prompt": transcription.prompt,
        });
        if form == SessionForm::Nested {
            shown["delay"] = json!(delay.map(|(name, _)| name));
            for (name, list) in [
                ("languages", &transcription.languages),
                ("keywords", &transcription.keywords),
            ] {
                if !list.is_empty() {
                    shown[name] = json!(list);
                }
            }
        }
        let noise_reduction = self.noise_reduction.map(|kind| json!({ "type": kind }));
        let include = (!self.include.is_empty()).then_some(&self.include);
        form.shown(&forms::ShownFields {
            format: self.format,
            noise_reduction: noise_reduction.into(),
            transcription: shown,
            turn_detection: self.turn_detection.to_json(),
            include: json!(include),
        })
    }

    fn read(&mut self, session: &Object) -> Result<(), InvalidField> {
        let fields = FieldReader::new(session, "");
        if let Change::Set(kind) = fields.text("type")?
            && kind != "transcription"
        {
            let expected = "transcription: this server only transcribes";
            return Err(fields.invalid("type", expected));
        }
        match fields.texts("include")? {
            Change::Keep => {}
            Change::Clear => self.include.clear(),
            Change::Set(items)
                if items
                    .iter()
                    .all(|item| [LOGPROBS, SPEAKERS].contains(&&**item)) =>
            {
                self.include = items;
            }
            Change::Set(_) => {
                let expected = format!("a list of \"{LOGPROBS}\" or \"{SPEAKERS}\"");
                return Err(fields.invalid("include", &expected));
            }
        }
        let input = match fields.object("audio")? {
            Change::Set(audio) => audio.object("audio.input")?,
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
        };
        match input {
            Change::Keep => Ok(()),
            Change::Clear => {
                *self = Self {
                    include: std::mem::take(&mut self.include),
                    fixed: std::mem::take(&mut self.fixed),
                    ignores_speakers: self.ignores_speakers,
                    ..Self::default()
                };
                Ok(())
            }
            Change::Set(input) => self.read_input(&input),
        }
    }

    fn read_input(&mut self, input: &FieldReader<'_>) -> Result<(), InvalidField> {
        match input.object("audio.input.format")? {
            Change::Keep => {}
            Change::Clear => self.format = AudioFormat::default(),
            Change::Set(fields) => self.format = self.format.read(&fields)?,
        }
        match input.object("audio.input.noise_reduction")? {
            Change::Keep => {}
            Change::Clear => self.noise_reduction = None,
            Change::Set(fields) => {
                let kinds = ["near_field", "far_field"];
                fields
                    .word("type", &kinds)?
                    .apply_to(&mut self.noise_reduction);
            }
        }
        match input.object("audio.input.turn_detection")? {
            Change::Keep => {}
            Change::Clear => self.turn_detection = TurnDetectionField::Off,
            Change::Set(fields) => self.turn_detection = self.turn_detection.read(&fields)?,
        }
        match input.object("audio.input.transcription")? {
            Change::Keep => Ok(()),
            Change::Clear => {
                (self.transcription, self.delay) = Default::default();
                Ok(())
            }
            Change::Set(fields) => self.read_transcription(&fields),
        }
    }

    fn read_transcription(&mut self, fields: &FieldReader<'_>) -> Result<(), InvalidField> {
        let Transcription {
            model,
            language,
            languages,
            keywords,
            prompt,
        } = &mut self.transcription;
        for (name, field) in [("model", model), ("language", language), ("prompt", prompt)] {
            match fields.text(name)? {
                Change::Keep => {}
                Change::Clear => *field = None,
                Change::Set(text) => *field = Some(text.to_owned()),
            }
        }
        for (name, field) in [("languages", languages), ("keywords", keywords)] {
            fields.texts(name)?.apply_or(field, Vec::new());
        }
        match fields.word("delay", &DELAYS.map(|(name, _)| name))? {
            Change::Keep => {}
            Change::Clear => self.delay = None,
            Change::Set(word) => {
                let delay = DELAYS.iter().find(|(name, _)| *name == word);
                self.delay = delay.map(|(_, delay)| *delay);
            }
        }
        Ok(())
    }

    /// Checks the values as those of an upload.
    fn check(&self, settings: &HttpSettings) -> Result<(), InvalidField> {
        self.parameters(settings).map(|_| ())
    }

    fn parameters(&self, settings: &HttpSettings) -> Result<Parameters, InvalidField> {
        let Transcription {
            model,
            language,
            languages,
            keywords,
            prompt,
        } = &self.transcription;
        let list = |items: &Vec<String>| (!items.is_empty()).then(|| json!(items).to_string());
        let fields = [
            ("model", model.clone()),
            ("language", language.clone()),
            ("languages", list(languages)),
            ("keywords", list(keywords)),
            ("prompt", prompt.clone()),
        ];
        let mut parameters = Parameters::new(Api::Transcription);
        for (name, value) in fields {
            let set = parameters.set(name, value.unwrap_or_default(), settings);
            set.map_err(|error| match error {
                ApiError::InvalidValue {
                    value, expected, ..
                } => InvalidField {
                    path: format!("audio.input.transcription.{name}"),
                    value: json!(value).to_string(),
                    expected,
                },
                error => InvalidField {
                    path: format!("audio.input.transcription.{name}"),
                    value: String::new(),
                    expected: error.to_string(),
                },
            })?;
        }
        Ok(parameters)
    }
}

/// The path of a value in `fixed` that `change` would change.
fn changed_path(fixed: &Object, change: &Object) -> Option<String> {
    fixed.iter().find_map(|(name, value)| {
        let new = change.get(name)?;
        match (value, new) {
            (Value::Object(value), Value::Object(new)) => {
                let path = changed_path(value, new)?;
                Some(format!("{name}.{path}"))
            }
            (value, new) => (value != new).then(|| name.clone()),
        }
    })
}

#[cfg(test)]
mod tests;
