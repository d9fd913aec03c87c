//! What an API says to a call that was begun, sealed into the lane's log.

use std::{future::Future, pin::pin, time::Duration};

use armour_protocol::v2::{
    error::ContentError,
    message::Response as ResponseSide,
    mode::Reason,
    proxy::{Begun, Epoch, FirstContent, MAX_PIECE, Outgoing, WholeContent},
};
use axum::{body::Body, response::IntoResponse};
use bytes::Bytes;
use http::{Response, response::Parts};
use tokio::sync::mpsc;

use super::{call::Call, handshake::Upgraded, request::RequestEnd};
use crate::wire::{
    bhttp,
    body::{Ahead, Piece, Rest, ahead, pump},
    content::Content,
    interims::{Arriving, Interim},
    problem::Refusal,
    sealing::Sealing,
    stream::{Broken, StreamSender},
    websocket,
};

/// How long a response may take to be complete so that it is sent whole.
const WHOLE_WITHIN: Duration = Duration::from_millis(10);

/// What the API says, or why it says nothing.
type Answer = Result<Response<Body>, Reason>;

/// A call that has been begun, and awaits its answer.
pub struct Answering<'a> {
    call: &'a Call,
    begun: Begun,
    end: Option<RequestEnd>,
}

impl<'a> Answering<'a> {
    /// One whose request may go on.
    pub fn new(call: &'a Call, begun: Begun, end: Option<RequestEnd>) -> Self {
        Self { call, begun, end }
    }

    /// Waits for the answer. What comes before it is sealed at once.
    pub async fn until_answered(
        self,
        served: impl Future<Output = Answer>,
        mut arriving: Arriving,
    ) -> Result<(), Broken> {
        let mut served = pin!(served);
        let interim = tokio::select! {
            biased;
            interim = arriving.next() => interim,
            answer = &mut served => match arriving.try_next() {
                None => return self.answer(answer).await,
                Some(interim) => {
                    let answer = std::future::ready(answer);
                    return self.with_interims(interim, answer, arriving).await;
                }
            },
        };
        self.with_interims(interim, served, arriving).await
    }

    /// The answer, which is all that the API has said.
    pub async fn answer(self, answer: Answer) -> Result<(), Broken> {
        let response = match answer {
            Ok(response) => response,
            Err(reason) => return self.call.bare(self.begun.abort(reason)).await,
        };
        if let Some(end) = &self.end {
            end.answer_begins();
        }
        let (head, body) = head_of(response);
        let mut content = Content::default();
        bhttp::put_response(&head, &mut content);
        match ahead(body, content, Some(WHOLE_WITHIN)).await {
            Ahead::Broken(_, None) => self.call.bare(self.begun.abort(Reason::API)).await,
            Ahead::Broken(mut content, Some(reason)) => {
                bhttp::put_reset(reason, &mut content);
                self.whole(&content).await
            }
            Ahead::Whole(content) => self.whole(&content).await,
            Ahead::More(content, rest) => {
                let (call, end) = self.begin(content).await?;
                stream(call, rest, end).await
            }
        }
    }

    /// Informational responses, and the answer after them. What they are told in has begun then:
    /// where there is no answer, it says so.
    async fn with_interims(
        self,
        first: Interim,
        served: impl Future<Output = Answer>,
        mut arriving: Arriving,
    ) -> Result<(), Broken> {
        let mut content = Content::default();
        bhttp::begin_response(&mut content);
        bhttp::put_status(first.0, &first.1, &mut content);
        let (call, end) = self.begin(content).await?;
        let sealing = response_of(call);
        let mut served = pin!(served);
        let answer = loop {
            tokio::select! {
                biased;
                (status, fields) = arriving.next() => {
                    let sealed = sealing.add(|content| bhttp::put_status(status, &fields, content));
                    push(call, sealed.await?).await?;
                    push(call, sealing.flush().await?).await?;
                }
                () = sealing.switched() => push(call, sealing.flush().await?).await?,
                answer = &mut served => break answer,
            }
        };
        while let Some((status, fields)) = arriving.try_next() {
            let sealed = sealing.add(|content| bhttp::put_status(status, &fields, content));
            push(call, sealed.await?).await?;
        }
        if let Some(end) = &end {
            end.answer_begins();
        }
        let response = answer.unwrap_or_else(|reason| Refusal::aborted(reason).into_response());
        let (head, body) = head_of(response);
        let sealed = sealing.add(|content| bhttp::put_status(head.status, &head.headers, content));
        push(call, sealed.await?).await?;
        stream(call, Rest::of(body), end).await
    }

    async fn whole(self, content: &Content) -> Result<(), Broken> {
        let call = self.call;
        let (kind, padding) = call.held.form.of_whole(content.len());
        let Ok(whole) = WholeContent::new(content.as_slice(), kind, padding) else {
            // As much was read as is no more than its beginning: it broke off there.
            return call.bare(self.begun.abort(Reason::API)).await;
        };
        let (mut out, outgoing) = call.conclude(self.begun.answer(whole.claim())).await?;
        let outgoing = outgoing.ok_or(Broken)?;
        let seal = |epoch| {
            let outgoing = in_epoch(outgoing, epoch)?;
            whole.seal(outgoing, &mut out).map_err(cannot)?;
            Ok(None)
        };
        response_of(call).begin(seal).await?;
        call.exchange.log.head(out.into());
        call.exchange.log.finish();
        match self.end {
            None => Ok(()),
            Some(end) => call.finish(Some(end.after_the_answer().await?)).await,
        }
    }

    /// Begins a stream.
    async fn begin(self, mut content: Content) -> Result<(&'a Call, Option<RequestEnd>), Broken> {
        let call = self.call;
        let first = content.split_to(MAX_PIECE);
        let (kind, padding) = call.held.form.of_stream();
        let first = FirstContent::new(first.as_slice(), kind, padding).map_err(cannot)?;
        let (mut out, outgoing) = call.conclude(self.begun.answer(first.claim())).await?;
        let outgoing = outgoing.ok_or(Broken)?;
        let rekeying = &call.exchange.rekeying;
        let seal = |epoch| {
            let outgoing = in_epoch(outgoing, epoch)?;
            let writer = first.seal(outgoing, &mut out).map_err(cannot)?;
            let (enclave, peer) = (call.producer.enclave.clone(), rekeying.peer.clone());
            let sender = StreamSender::new(writer, enclave, call.lane, peer, content);
            Ok(Some(sender))
        };
        rekeying.response.begin(seal).await?;
        call.exchange.log.head(out.into());
        rekeying.begins();
        Ok((call, self.end))
    }
}

/// What seals the response.
fn response_of(call: &Call) -> &Sealing<ResponseSide> {
    &call.exchange.rekeying.response
}

/// The keys of a response, which begins with a switch if the streams were re-keyed before.
fn in_epoch(
    outgoing: Outgoing<ResponseSide>,
    epoch: Option<Epoch<ResponseSide>>,
) -> Result<Outgoing<ResponseSide>, Broken> {
    match epoch {
        Some(epoch) => outgoing.in_epoch(epoch).map_err(cannot),
        None => Ok(outgoing),
    }
}

/// A response's head as it is carried, and its body.
pub(super) fn head_of(response: Response<Body>) -> (Parts, Body) {
    let (mut head, body) = response.into_parts();
    let is_handshake = head.extensions.get::<Upgraded>().is_some();
    bhttp::strip_hop_by_hop(&mut head.headers);
    if is_handshake {
        websocket::carry_in(&mut head.headers);
    }
    (head, body)
}

async fn push(call: &Call, sealed: Option<Bytes>) -> Result<(), Broken> {
    let Some(sealed) = sealed else {
        return Ok(());
    };
    call.exchange.rekeying.count(sealed.len());
    match call.exchange.log.push(sealed).await {
        true => Ok(()),
        false => Err(Broken),
    }
}

/// The rest of a response, as it comes.
async fn stream(call: &Call, rest: Rest, mut end: Option<RequestEnd>) -> Result<(), Broken> {
    let log = &call.exchange.log;
    let (sink, mut source) = mpsc::channel::<Piece>(2);
    let forward = async {
        while let Some(piece) = source.recv().await {
            call.exchange.rekeying.count(piece.bytes.len());
            if !log.push(piece.bytes).await {
                break;
            }
        }
        source.close();
    };
    // A connection of HTTP/1.1 that broke off has no code of its own.
    let cut = h2::Reason::INTERNAL_ERROR;
    let pumped = async move { pump(response_of(call), rest, cut, &sink).await };
    let (last, ()) = tokio::join!(pumped, forward);
    let last: Bytes = last?;
    // The lane's next ticket may come as soon as the last bytes are sent.
    let ended = match &mut end {
        None => Some(None),
        Some(end) => end.try_get().map(Some),
    };
    let finished = ended.is_some();
    if let Some(ended) = ended {
        call.finish(ended).await?;
    }
    log.push(last).await;
    log.finish();
    match end.filter(|_| !finished) {
        None => Ok(()),
        Some(end) => call.finish(Some(end.after_the_answer().await?)).await,
    }
}

fn cannot(error: ContentError) -> Broken {
    tracing::error!(%error, "a response cannot be sealed");
    Broken
}
