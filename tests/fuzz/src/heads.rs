//! Heads and tickets as they come from the network: what is read is written the same.

use armour_protocol::{
    message::{RequestHead, ResponseHead},
    ticket::{SignedTicket, Ticket},
};

pub fn run(data: &[u8]) {
    if let Ok(head) = RequestHead::from_bytes(data) {
        assert_eq!(head.to_bytes(), data);
        assert_eq!(RequestHead::len_of(&data[..94]), Ok(data.len()));
        assert_eq!(head.associated_data(), data[..94]);
    }
    if let Ok(head) = ResponseHead::from_bytes(data) {
        assert_eq!(head.to_bytes(), data);
        assert_eq!(ResponseHead::len_of(data), Ok(data.len()));
    }
    if let Ok(ticket) = Ticket::from_bytes(data) {
        assert_eq!(ticket.to_bytes()[..], *data);
    }
    if let Ok(signed) = SignedTicket::from_bytes(data) {
        assert_eq!(signed.to_bytes()[..], *data);
    }
}
