//! The HTTP endpoint: `GET /metrics`, and nothing else.
//!
//! It runs on a thread of its own, with bounds on the number of connections (a new one replaces the oldest, so that stalled
//! ones shut nobody out), on how long each lasts, and on how much of a request is read.

use super::{
    Published,
    text::{Format, render},
};
use crate::host::sandbox;
use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    body::Bytes,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    task::AbortHandle,
    time::{sleep, timeout},
};

/// The maximum number of connections: more than there are Prometheus servers that scrape one host.
const MOST: usize = 16;
/// The maximum duration of a connection; Prometheus itself gives up after 10 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size of a request in bytes; a scrape sends a tenth of it.
const REQUEST: usize = 8192;
/// How long to wait if there is no file descriptor left for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Begins to listen, and answers on a thread of its own.
///
/// # Errors
/// The address isn't this host's, or its port is taken; the message says what to do.
pub fn serve(address: SocketAddr, published: Published) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("can't listen on {address}, which --metrics names: free the port, or name another address of this host or another port")
    })?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        // The thread has the listener, and needs nothing else.
        sandbox::renounce();
        // It ends only if the listener can't be watched; scrapes then fail, and guarding goes on.
        let _: Result<()> = runtime.block_on(accept(listener, published));
    })?;
    Ok(())
}

async fn accept(listener: TcpListener, published: Published) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= MOST
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let connection = timeout(REQUEST_TIMEOUT, talk(stream, published.clone()));
        open.push_back(tokio::spawn(connection).abort_handle());
    }
}

/// Serves one request.
async fn talk(stream: TcpStream, published: Published) {
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let answer = answer(request.method(), request.uri().path(), request.headers(), &published);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut connection = http1::Builder::new();
    connection.keep_alive(false).max_buf_size(REQUEST);
    // Errors that a client causes are ignored.
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

fn answer(method: &Method, path: &str, headers: &HeaderMap, published: &Published) -> Response<Full<Bytes>> {
    if path != "/metrics" {
        return refusal(StatusCode::NOT_FOUND, "there is only /metrics\n");
    }
    if method != Method::GET {
        let mut refusal = refusal(StatusCode::METHOD_NOT_ALLOWED, "there is only GET\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refusal;
    }
    let Some(reading) = published.get() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "nothing is guarded yet\n");
    };
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|accepted| accepted.to_str().ok());
    let format = Format::accepted(accepted);
    match render(reading, format) {
        Ok(text) => response(StatusCode::OK, format.content_type(), text),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be written\n"),
    }
}

fn refusal(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", words)
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
