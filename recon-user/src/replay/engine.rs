//! From frames to counts, as the kernel programs do it.
//!
//! In: a frame, its interface, the time. Out: [`PollCounts`] of one poll: keys in the order of
//! their first packets, and what could not be read.
//! The decisions held here: parser, flow state and keys are those of the kernel programs. Only the
//! direction differs: a hook knows it, and here it follows from whose addresses are local. Between
//! two local addresses a packet is what both of their kernels would have seen: it leaves the one,
//! and comes in at the other.

use jiff::Timestamp;
use recon_common::packet::BarePacket;
use recon_common::protocol::ip_protocol;
use recon_common::protocol::tcp_flag::{ACK, RST, SYN};
use recon_common::{
    Address, Detail, Direction, Flow, FlowMarks as _, FrameClass, Ignored, Key, Loss, Packet,
    Parsed, Signal, parse,
};

use super::connections::{Connections, SocketEvent, SocketPlace};
use super::flows::{Flows, PacketState};
use super::located::{Located, flow_of};
use super::old_ends::{OldEnds, ResolvedEnd};
use super::poll_counts::PollCounts;
use super::segment::{PacketEnds, Segment};
use super::services::Services;
use super::two_way::{TwoWay, may_be_answer};
use super::waiting;
use crate::address::NetworkSet;
use crate::capture::LinkFrame;

/// Whose addresses are local.
#[derive(Clone, Debug)]
pub(crate) enum LocalAddresses {
    /// Everybody's, as on the port of a switch that mirrors a network: what comes in anywhere is
    /// judged, and what leaves only shows what was sent before.
    All,
    /// Those of these networks.
    Networks(NetworkSet),
}

/// In which directions a packet crosses the boundary of a local host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ways {
    leaves: bool,
    comes_in: bool,
}

/// A frame's way over the boundary of a local host.
#[derive(Clone, Copy, Debug)]
struct Crossing {
    direction: Direction,
    /// The number of the interface, 0 if it has none.
    interface: u32,
    now: Timestamp,
    /// Whether [`Connections`] follow its segment.
    is_followed: bool,
}

impl LocalAddresses {
    fn contains(&self, address: Address) -> bool {
        match self {
            Self::All => true,
            Self::Networks(networks) => networks.contains(address.to_ip()),
        }
    }

    fn ways(&self, header: &PacketEnds) -> Ways {
        Ways {
            leaves: self.contains(header.source),
            comes_in: self.contains(header.destination),
        }
    }
}

/// The kernel's part of recon, over packets of a capture.
pub(super) struct Engine {
    locals: LocalAddresses,
    flows: Flows,
    connections: Connections,
    pub(super) two_way: TwoWay,
    services: Services,
    old_ends: OldEnds,
    pub(super) counts: PollCounts,
    /// Frames between addresses that are not local.
    pub(super) foreign: u64,
    /// Whether a packet came from or to a local address.
    pub(super) has_local: bool,
    /// Frames by their loss.
    pub(super) lost: [u64; Loss::OF_FRAMES.len()],
}

impl Engine {
    pub(super) fn new(locals: LocalAddresses) -> Self {
        Self {
            locals,
            flows: Flows::default(),
            connections: Connections::default(),
            two_way: TwoWay::default(),
            services: Services::default(),
            old_ends: OldEnds::default(),
            counts: PollCounts::default(),
            foreign: 0,
            has_local: false,
            lost: [0; Loss::OF_FRAMES.len()],
        }
    }

    /// Ends of connections that are not known.
    pub(super) const fn lost_ends(&self) -> u64 {
        self.connections.lost_ends
    }

    /// Segments of connections that were not followed.
    pub(super) const fn unfollowed(&self) -> u64 {
        self.connections.unfollowed
    }

    /// Finds the state of a frame, and has the processor fetch it while it does something else.
    #[inline]
    pub(super) fn locate(&self, frame: LinkFrame<'_>) -> Located {
        let located = Located::of(frame);
        if let Some(sender) = located.sender {
            self.connections.prefetch(sender);
        }
        located
    }

    /// Counts what a frame shows, whose state was located.
    pub(super) fn observe(
        &mut self,
        frame: LinkFrame<'_>,
        located: Located,
        interface: u32,
        now: Timestamp,
    ) {
        let Located {
            ends: header,
            sender,
        } = located;
        let crossing = |direction| Crossing {
            direction,
            interface,
            now,
            is_followed: header.is_some_and(|header| header.segment.is_some()),
        };
        let Some(header) = header else {
            // ARP, and what can't be read: it has no ends yet.
            let class = self.cross(frame, crossing(Direction::In));
            return self.lose_class(class);
        };
        let ways = self.locals.ways(&header);
        self.has_local |= ways.leaves || ways.comes_in;
        let (Some(segment), Some(place)) = (&header.segment, sender) else {
            self.two_way.observe(header.source, header.destination);
            return self.observe_datagram(frame, &header, ways, crossing);
        };
        let is_data = header.is_data && frame.is_plain();
        if !self.is_two_way(place, ways) {
            self.two_way.observe(header.source, header.destination);
        }
        let mut class = None;
        if ways.leaves {
            if !is_data {
                class = Some(self.cross(frame, crossing(Direction::Out)));
            }
            self.follow(&header, segment, place, Direction::Out, now);
        }
        if ways.comes_in {
            if !is_data || segment.may_be_request() {
                class = Some(self.cross(frame, crossing(Direction::In)));
            }
            self.follow(&header, segment, place.of_other_end(), Direction::In, now);
        }
        match class {
            Some(class) => self.lose_class(class),
            None if !ways.leaves && !ways.comes_in => self.foreign += 1,
            None => {}
        }
    }

    /// Counts what a packet shows that no socket of TCP follows.
    fn observe_datagram(
        &mut self,
        frame: LinkFrame<'_>,
        header: &PacketEnds,
        ways: Ways,
        crossing: impl Fn(Direction) -> Crossing,
    ) {
        let mut class = None;
        if ways.leaves {
            let left = self.cross(frame, crossing(Direction::Out));
            if left == Ignored::Group.into()
                && let Some(packet) = frame.network()
                && let Some(flow) = waiting::for_answers_to_group(packet, header)
            {
                self.flows.marks(&flow).expect_answers();
            }
            class = Some(left);
        }
        if ways.comes_in {
            class = Some(self.cross(frame, crossing(Direction::In)));
        }
        match class {
            Some(class) => self.lose_class(class),
            None => self.foreign += 1,
        }
    }

    /// Whether the directions of a connection are known, so that its packets show nothing of them.
    #[inline]
    fn is_two_way(&self, sent: SocketPlace, ways: Ways) -> bool {
        match (ways.leaves, ways.comes_in) {
            (true, _) => self.connections.is_two_way(sent),
            (false, true) => self.connections.is_two_way(sent.of_other_end()),
            (false, false) => false,
        }
    }

    /// Counts a frame that can't be read.
    fn lose_class(&mut self, class: FrameClass) {
        if let FrameClass::Lost(loss) = class {
            self.lose(loss);
        }
    }

    /// Counts a frame that can't be read.
    pub(super) fn lose(&mut self, loss: Loss) {
        self.counts.lost += 1;
        self.lost[loss as usize] += 1;
    }

    /// Counts what a frame shows that crosses a hook.
    fn cross(&mut self, frame: LinkFrame<'_>, crossing: Crossing) -> FrameClass {
        match frame {
            LinkFrame::Ethernet(bytes) => self.count_packet(bytes, crossing),
            LinkFrame::Bare(bytes) => self.count_packet(&BarePacket(bytes), crossing),
        }
    }

    /// The twin of the kernel's function of that name.
    fn count_packet(&mut self, packet: &(impl Packet + ?Sized), crossing: Crossing) -> FrameClass {
        match parse(packet, crossing.direction) {
            Ok(parsed) => self.count_parsed(&parsed, crossing),
            Err(class) => class,
        }
    }

    fn count_parsed(&mut self, parsed: &Parsed, crossing: Crossing) -> FrameClass {
        let Crossing {
            direction,
            interface,
            now,
            is_followed,
        } = crossing;
        let flow = &parsed.flow;
        // A question of ARP for somebody else, or an error about another host's datagram.
        if !self.locals.contains(flow.local) {
            return Ignored::NotIp.into();
        }
        let state = PacketState {
            flows: &self.flows,
            connections: &self.connections,
            interface,
        };
        let signal = match parsed.resolve(&state) {
            Ok(signal) => signal,
            Err(ignored) => return ignored.into(),
        };
        if direction == Direction::In && flow.protocol == ip_protocol::TCP && !is_followed {
            self.connections.mark_reached(flow, now);
        }
        self.services.observe(signal, flow, now);
        if matches!(signal, Signal::DatagramSent | Signal::DnsSentUdp) {
            let waiting = waiting::for_remote(flow);
            self.flows.marks(&waiting).expect_answers();
        }
        let detail = match direction {
            Direction::In if signal.has_interface() => interface,
            _ => 0,
        };
        if self.is_judged(signal, flow, now) {
            let key = Key::for_flow(flow, signal, detail);
            let key = key.with_tool(signal, parsed.tool);
            let counted = match signal {
                Signal::MaimonProbe => self.old_ends.wait(flow, key, now),
                _ => Some(key),
            };
            if let Some(key) = counted {
                self.counts.count(key);
            }
        }
        FrameClass::Signal
    }

    /// Counts what has waited for an answer until that time.
    pub(super) fn resolve_old_ends(&mut self, now: Timestamp) {
        while let Some(end) = self.old_ends.resolve_next(&self.connections, now) {
            match end {
                ResolvedEnd::Probe(key) => self.counts.count(key),
                ResolvedEnd::OldConnection => self.two_way.withheld += 1,
            }
        }
    }

    /// Whether a signal counts. Where all are local, what somebody sends is what another one gets.
    fn is_judged(&mut self, signal: Signal, flow: &Flow, now: Timestamp) -> bool {
        if matches!(self.locals, LocalAddresses::All) && signal.is_outbound() {
            return false;
        }
        if self.is_stray_refusal(signal, flow)
            || self.services.is_answer(signal, flow, now)
            // A probe is the first segment of its flow, and an end is not.
            || signal == Signal::MaimonProbe && self.connections.was_reached(flow)
        {
            self.two_way.withheld += 1;
            return false;
        }
        !self.answers_waiting_port(signal, flow) && self.two_way.admits(signal, flow)
    }

    /// Whether a refusal shows no attempt, since what it refuses was not captured: somebody has
    /// forged the address that gets it, or it ends a connection from before the capture. What a
    /// reset from a client's port to a service's refuses is no SYN.
    fn is_stray_refusal(&self, signal: Signal, flow: &Flow) -> bool {
        match (signal, flow.protocol) {
            (Signal::RefusedTcp, _) if may_be_answer(flow) => !self.connections.was_tried(flow),
            (Signal::RefusedTcp, _) | (Signal::RefusedIcmp, ip_protocol::TCP) => {
                !self.connections.was_reached(flow)
            }
            (Signal::RefusedIcmp, ip_protocol::UDP | ip_protocol::UDP_LITE) => {
                !self.flows.marks(flow).was_reached()
            }
            _ => false,
        }
    }

    /// Whether a datagram answers what its receiver has asked from that port, or was refused since
    /// it came late.
    fn answers_waiting_port(&self, signal: Signal, flow: &Flow) -> bool {
        let waits = |flow: Flow| self.flows.marks(&flow).expects_answers();
        matches!(
            signal,
            Signal::Datagram | Signal::TraceProbe | Signal::RefusedIcmp
        ) && flow.protocol == ip_protocol::UDP
            && (waits(waiting::for_remote(flow)) || waits(waiting::for_any_address(flow)))
    }

    /// Counts what a socket would have seen.
    #[inline]
    fn follow(
        &mut self,
        header: &PacketEnds,
        segment: &Segment,
        place: SocketPlace,
        direction: Direction,
        now: Timestamp,
    ) {
        if !self.two_way.is_shown() && direction == Direction::Out {
            self.two_way.has_only_sent |= segment.flags & (ACK | SYN | RST) == ACK;
        }
        let is_one_way = direction == Direction::In
            && !self.connections.is_two_way(place)
            && !self.two_way.shows_sending_of(header.destination);
        let event = self
            .connections
            .follow(place, segment, direction, now, is_one_way);
        if let Some(event) = event {
            self.count_event(&flow_of(header, segment, direction), event, now);
        }
    }

    /// Counts an event of a socket.
    fn count_event(&mut self, flow: &Flow, event: SocketEvent, now: Timestamp) {
        let (signal, ending) = match event {
            SocketEvent::Accepted => {
                // Its end is then known to be one, and its reset refuses nothing.
                let marks = self.flows.marks(flow);
                marks.expect_answers();
                marks.mark_reached();
                (Signal::Accepted, 0)
            }
            SocketEvent::Ended(ending) => (Signal::Ended, ending.pack()),
            SocketEvent::ConnectFailed => (Signal::ConnectFailed, 0),
        };
        const THIS_NAMESPACE: u32 = 0;
        let detail = match signal {
            Signal::ConnectFailed => 0,
            _ => Detail::connection_word(ending, THIS_NAMESPACE),
        };
        if self.is_judged(signal, flow, now) {
            self.counts.count(Key::for_flow(flow, signal, detail));
        }
    }
}

#[cfg(test)]
mod tests;
