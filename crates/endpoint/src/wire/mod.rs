//! What goes between agents, applications and upstreams.
//!
//! * [`message`]: frames and segments, as they are read;
//! * [`body`] and [`stream`]: content on its way out, whole or as it comes;
//! * [`sealing`] and [`keyring`]: the same, while it is re-keyed;
//! * [`handed_on`]: a body on its way to a caller or an API;
//! * [`idle`]: whether a request still goes on;
//! * [`content`]: buffers of content in the clear;
//! * [`bhttp`]: requests and responses as content of messages;
//! * [`interims`]: informational responses;
//! * [`length`]: the length that a message tells;
//! * [`grpc`]: how gRPC says that a call broke off;
//! * [`problem`] and [`problem_type`]: an endpoint's own refusals;
//! * [`version`]: which version of the protocol is spoken;
//! * [`http_client`]: HTTP to the next hop;
//! * [`websocket`]: connections that have been upgraded.

pub mod bhttp;
pub mod body;
pub mod content;
pub mod grpc;
pub mod handed_on;
pub mod http_client;
pub mod idle;
pub mod interims;
pub mod keyring;
pub mod length;
pub mod message;
pub mod problem;
pub mod problem_type;
pub mod sealing;
pub mod stream;
pub mod version;
pub mod websocket;
pub mod whole_body;
