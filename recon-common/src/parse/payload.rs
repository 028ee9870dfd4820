//! The first bytes of a payload: a DNS query, an HTTP GET.
//!
//! In: a cursor at the transport header or at the payload. Out: whether that request starts there.
//! The decision held here: only the start of a segment is read, so a request that shares its
//! segment with an earlier one is not counted: pipelining makes floods look smaller, never larger.

use crate::packet::Cursor;
use crate::protocol::{DNS_HEADER, TCP_HEADER};
use crate::{Loss, Packet};

/// DNS over TCP puts the message's length in front of it (RFC 1035, 4.2.2).
const DNS_LENGTH: usize = 2;

/// Whether a standard DNS query with a question starts here (RFC 1035, 4.1.1).
#[inline(always)]
pub(super) fn is_dns_query<P: Packet + ?Sized>(message: &Cursor<'_, P>) -> Result<bool, Loss> {
    if message.left() < DNS_HEADER {
        return Ok(false);
    }
    let header = message
        .peek_payload::<DNS_HEADER>()
        .ok_or(Loss::Truncated)?;
    const RESPONSE_AND_OPCODE: u8 = 0b1111_1000;
    let questions = u16::from_be_bytes([header[4], header[5]]);
    Ok(header[2] & RESPONSE_AND_OPCODE == 0 && questions > 0)
}

/// Whether the segment's payload starts with a DNS query. `offset` is the byte of the TCP header
/// that holds the header's length.
#[inline(always)]
pub(super) fn is_tcp_dns_query<P: Packet + ?Sized>(
    segment: &Cursor<'_, P>,
    offset: u8,
) -> Result<bool, Loss> {
    is_dns_query(&segment.skip(tcp_header_length(segment, offset)? + DNS_LENGTH))
}

/// Whether the segment's payload starts a GET request. `offset` as above.
#[inline(always)]
pub(super) fn is_http_get<P: Packet + ?Sized>(
    segment: &Cursor<'_, P>,
    offset: u8,
) -> Result<bool, Loss> {
    const GET: [u8; 4] = *b"GET ";
    let payload = segment.skip(tcp_header_length(segment, offset)?);
    if payload.left() < GET.len() {
        return Ok(false);
    }
    let start = payload
        .peek_payload::<{ GET.len() }>()
        .ok_or(Loss::Truncated)?;
    Ok(start == GET)
}

#[inline(always)]
fn tcp_header_length<P: Packet + ?Sized>(
    segment: &Cursor<'_, P>,
    offset: u8,
) -> Result<usize, Loss> {
    let length = usize::from(offset >> 4) * 4;
    if length < TCP_HEADER {
        return Err(segment.stop(Loss::Malformed));
    }
    Ok(length)
}
