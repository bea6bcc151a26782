//! The port of Home Assistant's protocol.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::{AppError, listen};
use crate::config::{LoadedSettings, Whisper};
use crate::models::{Aliases, LoadedModels};
use crate::session::OpenSession;
use crate::transcribe::TranscriptionOptions;
use crate::wyoming::{TakePlace, WyomingServer};
use halkspeech_audio::VadOptions;

/// The port of the Wyoming protocol, if there is one.
///
/// # Errors
/// [`AppError`] if it cannot be listened on, or would let others in without a key.
pub async fn bind(
    loaded: &LoadedSettings,
    (sessions, take_place): (Arc<dyn OpenSession>, Box<TakePlace>),
    aliases: &Aliases,
    models: &Arc<LoadedModels>,
) -> Result<Option<(TcpListener, Arc<WyomingServer>)>, AppError> {
    let settings = &loaded.settings;
    let wyoming = &settings.wyoming;
    if wyoming.bypasses_keys(settings.server.has_key()) {
        return Err(AppError::WyomingBypassesKeys {
            host_name: loaded.setting_name("wyoming.host"),
            host: wyoming.host.clone(),
        });
    }
    if wyoming.port == 0 {
        return Ok(None);
    }
    let listener = listen(&wyoming.host, wyoming.port).await?;
    let settings = settings.clone();
    let server = WyomingServer {
        sessions,
        take_place,
        catalog: Arc::clone(models.catalog()),
        aliases: aliases.clone(),
        default_options: Box::new(move |model| {
            default_options(&settings.whisper_for(model.as_str()))
        }),
    };
    Ok(Some((listener, Arc::new(server))))
}

/// The options of an upload that names none.
fn default_options(whisper: &Whisper) -> TranscriptionOptions {
    let mut options = TranscriptionOptions {
        vad: whisper.vad_filter.then(VadOptions::default),
        ..TranscriptionOptions::default()
    };
    options.search.beam_size = whisper.beam_size;
    // The words are slightly better without time stamps.
    options.search.timestamps = false;
    options
}

/// Serves the Wyoming protocol, if it has a port, until `stop` completes.
///
/// # Errors
/// The operating system's.
pub async fn serve(
    wyoming: Option<(TcpListener, Arc<WyomingServer>)>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let Some((listener, server)) = wyoming else {
        return Ok(());
    };
    let address = listener.local_addr()?;
    tracing::info!(%address, "serving the Wyoming protocol");
    crate::wyoming::serve(listener, server, stop).await;
    Ok(())
}
