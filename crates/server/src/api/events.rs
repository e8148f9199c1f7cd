//! `/events`: what happens, as it happens (server-sent events, WHATWG HTML, section 9.2).
//!
//! Invariant: hints to look again, never the source of truth; who listens too slowly is told to look at everything.

use crate::limits::HEARTBEAT;
use crate::state::Shared;
use axum::extract::State;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use engine::event::Event;
use futures_util::Stream;
use report::api::EventBody;
use std::convert::Infallible;
use tokio::sync::broadcast::error::RecvError;

/// The stream of events. Each is one JSON object; a comment every 15 seconds keeps the connection open.
#[utoipa::path(get, path = "/api/v1/events", tag = "operations", operation_id = "streamEvents",
    responses((status = 200, description = "server-sent events; `data` is one event", body = EventBody,
        content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(state): State<Shared>,
) -> Sse<impl Stream<Item = Result<Message, Infallible>> + use<>> {
    let events = state.engine.office.events.subscribe();
    let stop = state.stop.clone();
    let opened = futures_util::stream::once(async { Ok(Message::default().comment("listening")) });
    let stream = futures_util::stream::unfold((events, stop), |(mut events, stop)| async move {
        let message = tokio::select! {
            received = events.recv() => match received {
                Ok(event) => message(&event),
                Err(RecvError::Lagged(missed)) => {
                    Message::default().event("lagged").data(format!("{{\"missed\":{missed}}}"))
                }
                Err(RecvError::Closed) => return None,
            },
            () = stop.cancelled() => return None,
        };
        Some((Ok(message), (events, stop)))
    });
    let stream = futures_util::StreamExt::chain(opened, stream);
    Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"))
}

fn message(event: &Event) -> Message {
    let body = match event {
        Event::Registry { registry } => EventBody::Registry { registry: registry.get() },
        Event::Image { registry, digest } => EventBody::Image { registry: registry.get(), digest: digest.to_string() },
        Event::Issues { registry, repository } => {
            EventBody::Issues { registry: registry.get(), repository: repository.clone() }
        }
        Event::Intelligence { generation } => EventBody::Intelligence { generation: *generation },
        Event::Feeds { running, failed } => EventBody::Feeds { running: *running, failed: *failed },
        Event::Evaluation { running } => EventBody::Evaluation { running: *running },
    };
    Message::default().json_data(&body).expect("numbers and strings can be written as JSON")
}
