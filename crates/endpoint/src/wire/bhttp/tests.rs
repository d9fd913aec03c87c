//! Messages as we write them, and as others do.

use http::Request;

use super::{
    decoder::{Decoder, Piece},
    *,
};

fn request() -> Content {
    let (parts, ()) = Request::builder()
        .method("POST")
        .uri("/a/b?c=d")
        .header("host", "shop.example")
        .header("x-one", "1")
        .header("connection", "x-two")
        .body(())
        .unwrap()
        .into_parts();
    let mut out = Content::default();
    put_request(&parts, &mut out);
    put_content(&[7; 100_000], &mut out);
    put_content(b"", &mut out);
    put_content(b"end", &mut out);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("9"));
    put_end(&trailers, &mut out);
    out
}

/// A foreign implementation reads what we write.
#[test]
fn bhttp_crate_reads_our_request() {
    let message =
        bhttp::Message::read_bhttp(&mut std::io::Cursor::new(request().as_slice())).unwrap();
    assert_eq!(message.control().method(), Some(&b"POST"[..]));
    assert_eq!(message.control().authority(), Some(&b"shop.example"[..]));
    assert_eq!(message.control().path(), Some(&b"/a/b?c=d"[..]));
    assert_eq!(message.header().get(b"x-one"), Some(&b"1"[..]));
    assert_eq!(message.header().get(b"host"), None);
    assert_eq!(message.content().len(), 100_003);
    assert_eq!(message.trailer().get(b"x-sum"), Some(&b"9"[..]));
}

/// And we read what it writes.
#[test]
fn we_read_what_the_bhttp_crate_writes() {
    let mut message = bhttp::Message::response(bhttp::StatusCode::try_from(207u16).unwrap());
    message.put_header("x-one", "1");
    message.write_content(vec![5; 70_000]);
    message.put_trailer("x-sum", "9");
    let mut bytes = Vec::new();
    message
        .write_bhttp(bhttp::Mode::IndeterminateLength, &mut bytes)
        .unwrap();
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    let Some(Piece::Response(head)) = decoder.piece().unwrap() else {
        panic!("no head");
    };
    assert_eq!(head.status(), 207);
    let mut content = 0;
    loop {
        match decoder.piece().unwrap() {
            Some(Piece::Content(bytes)) => content += bytes.len(),
            Some(Piece::End(trailers)) => break assert_eq!(trailers["x-sum"], "9"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(content, 70_000);
    assert!(decoder.is_done());
}

#[test]
fn byte_by_byte_is_the_same() {
    let mut decoder = Decoder::default();
    let (mut content, mut heads) = (0, 0);
    for byte in request().as_slice() {
        decoder.push(&[*byte]);
        while let Some(piece) = decoder.piece().unwrap() {
            match piece {
                Piece::Request(head) => {
                    heads += 1;
                    assert_eq!(head.headers()["host"], "shop.example");
                }
                Piece::Content(bytes) => content += bytes.len(),
                _ => {}
            }
        }
    }
    assert_eq!((heads, content, decoder.is_done()), (1, 100_003, true));
}

#[test]
fn of_te_trailers_alone_is_passed_on() {
    let passed = |fields: &[(&str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        left
    };
    let both = [
        ("connection", "te, x-mine"),
        ("te", "gzip, Trailers"),
        ("x-mine", "1"),
    ];
    assert_eq!(passed(&both), ["te: trailers"]);
    assert!(passed(&[("te", "gzip"), ("keep-alive", "5")]).is_empty());
    assert_eq!(passed(&[("trailer", "x-sum")]), ["trailer: x-sum"]);
}

#[test]
fn a_length_beside_chunks_is_dropped() {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("20"));
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers[header::CONTENT_LENGTH], "20");
    headers.insert(
        header::TRANSFER_ENCODING,
        HeaderValue::from_static("chunked"),
    );
    strip_hop_by_hop(&mut headers);
    assert!(headers.is_empty());
}

#[test]
fn user_information_of_a_target_is_not_passed_on() {
    let request = Request::get("http://user:secret@shop.example:80/a");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let mut out = Content::default();
    put_request(&parts, &mut out);
    let mut decoder = Decoder::default();
    decoder.push(out.as_slice());
    let Some(Piece::Request(read)) = decoder.piece().unwrap() else {
        panic!("no head");
    };
    assert_eq!(read.headers()[header::HOST], "shop.example:80");
}

#[test]
fn of_upgrades_a_handshake_of_websocket_alone_is_carried() {
    for (protocol, carried) in [("websocket", true), ("h2c", false)] {
        let (parts, ()) = Request::get("/")
            .header("upgrade", protocol)
            .body(())
            .unwrap()
            .into_parts();
        let mut out = Content::default();
        put_request(&parts, &mut out);
        let mut decoder = Decoder::default();
        decoder.push(out.as_slice());
        let Some(Piece::Request(head)) = decoder.piece().unwrap() else {
            panic!("no head");
        };
        assert_eq!(websocket::is_carried(head.headers()), carried);
        assert_eq!(head.headers().contains_key("upgrade"), carried);
    }
}

#[test]
fn bad_messages_are_refused() {
    let bad: [&[u8]; 4] = [
        &[9],
        &[0x40, 0x63],
        b"\x02\x03G T\x04http\x00\x01/\x00",
        b"\x03\x05\x00",
    ];
    for bytes in bad {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        assert_eq!(decoder.piece().err(), Some(Malformed), "{bytes:?}");
    }
    let mut decoder = Decoder::default();
    decoder.push(b"\x02");
    decoder.push(&[0xff; MAX_FIELDS + 1]);
    assert_eq!(decoder.piece().err(), Some(Malformed));
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        while let Ok(Some(_)) = decoder.piece() {}
    }
}

/// What a foreign implementation reads of it as well.
#[test]
fn informational_responses_come_before_the_final_one() {
    let mut out = Content::default();
    begin_response(&mut out);
    let fields = HeaderMap::from_iter([(header::LINK, HeaderValue::from_static("</a>"))]);
    put_status(StatusCode::EARLY_HINTS, &fields, &mut out);
    put_status(StatusCode::PROCESSING, &HeaderMap::new(), &mut out);
    put_status(StatusCode::CREATED, &HeaderMap::new(), &mut out);
    put_end(&HeaderMap::new(), &mut out);
    let read = bhttp::Message::read_bhttp(&mut std::io::Cursor::new(out.as_slice())).unwrap();
    assert_eq!(read.informational().len(), 2);
    let mut decoder = Decoder::default();
    let mut statuses = Vec::new();
    for byte in out.as_slice() {
        decoder.push(&[*byte]);
        match decoder.piece().unwrap() {
            Some(Piece::Interim(head)) => statuses.push(head.status().as_u16()),
            Some(Piece::Response(head)) => statuses.push(head.status().as_u16()),
            _ => {}
        }
    }
    assert_eq!(statuses, [103, 102, 201]);
    assert!(decoder.is_done());
}

/// After it there is no message.
#[test]
fn switching_protocols_is_no_informational_response() {
    let mut out = Content::default();
    begin_response(&mut out);
    put_status(StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new(), &mut out);
    let mut decoder = Decoder::default();
    decoder.push(out.as_slice());
    assert_eq!(decoder.piece().err(), Some(Malformed));
}

#[test]
fn a_message_that_was_broken_off_says_so_by_its_code_and_is_never_whole() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, 77.into()] {
        let mut out = Content::default();
        let (head, ()) = http::Response::new(()).into_parts();
        put_response(&head, &mut out);
        put_content(b"half", &mut out);
        put_reset(reason, &mut out);
        let mut decoder = Decoder::default();
        let mut end = None;
        for byte in out.as_slice() {
            decoder.push(&[*byte]);
            while let Some(piece) = decoder.piece().unwrap() {
                match piece {
                    Piece::End(_) => panic!("it is not whole"),
                    Piece::Reset(reason) => end = Some(reason),
                    _ => {}
                }
            }
        }
        assert_eq!(end, Some(reason));
    }
    for bad in [
        &b"\x00\x06:reset\x01x\x00"[..],
        b"\x00\x06:reset\x018\x01a",
        b"\x00\x06:other\x018\x00",
    ] {
        let mut out = Content::default();
        let (head, ()) = http::Response::new(()).into_parts();
        put_response(&head, &mut out);
        out.extend(bad);
        let mut decoder = Decoder::default();
        decoder.push(out.as_slice());
        assert!(matches!(decoder.piece(), Ok(Some(Piece::Response(_)))));
        assert_eq!(decoder.piece().err(), Some(Malformed));
    }
}
