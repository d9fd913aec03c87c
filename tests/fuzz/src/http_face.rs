//! Binary HTTP as agents read and write it: the same however the bytes come, and what is
//! read, written again and read once more is the same.

use armour_endpoint::wire::{
    bhttp::{
        self,
        decoder::{Decoder, Piece},
    },
    content::Content,
};

#[derive(Debug, PartialEq, Eq, Default)]
struct Message {
    interim: Vec<String>,
    head: Option<String>,
    content: Vec<u8>,
    /// Trailers, or the code that stands in their place.
    end: Option<String>,
    failed: bool,
}

fn read(bytes: &[u8], size: usize) -> (Message, Option<Content>) {
    let mut decoder = Decoder::default();
    let mut message = Message::default();
    let mut again = None;
    for chunk in bytes.chunks(size.max(1)) {
        decoder.push(chunk);
        loop {
            match decoder.piece() {
                Ok(Some(Piece::Request(request))) => {
                    let (parts, ()) = request.into_parts();
                    message.head = Some(format!("{parts:?}"));
                    let mut out = Content::default();
                    bhttp::put_request(&parts, &mut out);
                    again = Some(out);
                }
                Ok(Some(Piece::Interim(response))) => {
                    let (parts, ()) = response.into_parts();
                    message.interim.push(format!("{parts:?}"));
                    let out = again.get_or_insert_with(response_begun);
                    bhttp::put_status(parts.status, &parts.headers, out);
                }
                Ok(Some(Piece::Response(response))) => {
                    let (parts, ()) = response.into_parts();
                    message.head = Some(format!("{parts:?}"));
                    let out = again.get_or_insert_with(response_begun);
                    bhttp::put_status(parts.status, &parts.headers, out);
                }
                Ok(Some(Piece::Content(content))) => message.content.extend_from_slice(&content),
                Ok(Some(Piece::End(trailers))) => {
                    if let Some(again) = &mut again {
                        bhttp::put_content(&message.content, again);
                        bhttp::put_end(&trailers, again);
                    }
                    message.end = Some(format!("{trailers:?}"));
                }
                Ok(Some(Piece::Reset(reason))) => {
                    if let Some(again) = &mut again {
                        bhttp::put_content(&message.content, again);
                        bhttp::put_reset(reason, again);
                    }
                    message.end = Some(format!("{reason:?}"));
                }
                Ok(None) => break,
                Err(_) => {
                    message.failed = true;
                    return (message, None);
                }
            }
        }
    }
    let done = decoder.is_done();
    (message, again.filter(|_| done))
}

fn response_begun() -> Content {
    let mut out = Content::default();
    bhttp::begin_response(&mut out);
    out
}

pub fn run(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else {
        return;
    };
    let (whole, again) = read(bytes, usize::MAX);
    let (pieces, _) = read(bytes, usize::from(*size));
    // Where it fails, how much was read before depends on how it came.
    assert_eq!(whole.failed, pieces.failed);
    if !whole.failed {
        assert_eq!(whole, pieces);
    }
    if let Some(again) = again {
        let (once_more, _) = read(again.as_slice(), usize::MAX);
        assert_eq!(once_more, whole);
    }
}
