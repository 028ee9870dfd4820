//! What the lines of one hour name, compared with who is who.
//!
//! In: a mixture, and the notifications that recon writes for its rows. Out: the figures of each
//! severity, the scanners that are found, the rules that name clients.
//! The decisions held here:
//! - A line counts for the source that it names: the address, else the network of its rule. A line
//!   that names neither, such as one on a port that many remotes reach, counts for nobody.
//! - A line on suppressed findings names the source of the largest of them.
//! - A scanner of several members is found if any member or their network is named.

use std::collections::{BTreeMap, BTreeSet};

use recon_common::Address;
use recon_user::incident::Notification;
use recon_user::kql::Severity;

use crate::mixture::{Kind, Mixture, SCANNERS, kind_at};

/// From all lines to the gravest.
pub(crate) const SEVERITIES: [Severity; 4] = [
    Severity::Informational,
    Severity::Low,
    Severity::Medium,
    Severity::High,
];

/// Who a line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Source(Address),
    /// By its first address.
    Network(Address),
}

impl Named {
    fn by(line: &Notification) -> Option<Self> {
        let finding = line.finding()?;
        let network = || finding.network.map(Self::Network);
        finding.remote.map(Self::Source).or_else(network)
    }

    fn address(self) -> Address {
        let (Self::Source(address) | Self::Network(address)) = self;
        address
    }
}

/// What the lines at or above one severity name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    pub(crate) lines: u64,
    pub(crate) client_lines: u64,
    pub(crate) background_lines: u64,
    pub(crate) scanner_lines: u64,
    pub(crate) other_lines: u64,
    clients: BTreeSet<Named>,
    background: BTreeSet<Named>,
    scanners: BTreeSet<Named>,
    /// The indices of the scanners that are found.
    found: BTreeSet<usize>,
    /// The sources that are no scanners and that each rule names, by category.
    blamed: BTreeMap<(String, &'static str), BTreeSet<Named>>,
}

impl Score {
    /// Scores the lines at or above a severity.
    pub(crate) fn new(mixture: &Mixture, lines: &[Notification], least: Severity) -> Self {
        let mut score = Self::default();
        let is_meant = |line: &&Notification| {
            let severity = line.finding().map(|finding| finding.severity);
            severity.unwrap_or(Severity::Informational) >= least
        };
        for line in lines.iter().filter(is_meant) {
            score.add(mixture, line);
        }
        score
    }

    fn add(&mut self, mixture: &Mixture, line: &Notification) {
        self.lines += 1;
        let named = Named::by(line);
        let kind = named.and_then(|named| kind_at(named.address()));
        let (Some(named), Some(kind)) = (named, kind) else {
            self.other_lines += 1;
            return;
        };
        match kind {
            Kind::Client => {
                self.client_lines += 1;
                self.clients.insert(named);
                self.blame(mixture, line, named);
            }
            Kind::Background => {
                self.background_lines += 1;
                self.background.insert(named);
                self.blame(mixture, line, named);
            }
            Kind::Scanner => {
                self.scanner_lines += 1;
                self.scanners.insert(named);
                self.found.extend(mixture.scanner_at(named.address()));
            }
        }
    }

    /// Remembers which rule names a source that is no scanner.
    fn blame(&mut self, mixture: &Mixture, line: &Notification, named: Named) {
        let id = line.finding().map(|finding| finding.query.id());
        let rule = id.unwrap_or("digest").to_owned();
        let category = mixture.category_of(named.address());
        let blame = (rule, category.unwrap_or("networks"));
        self.blamed.entry(blame).or_default().insert(named);
    }

    /// The figures, by name and unit. A precision is missing if nobody is named.
    pub(crate) fn figures(&self) -> [(&'static str, Option<f64>); 10] {
        let count = |number: usize| Some(number as f64);
        let lines = |number: u64| Some(number as f64);
        let [clients, background, scanners] =
            [&self.clients, &self.background, &self.scanners].map(BTreeSet::len);
        let percent = |right: usize, wrong: usize| match right + wrong {
            0 => None,
            all => Some(100.0 * right as f64 / all as f64),
        };
        [
            ("lines", lines(self.lines)),
            ("lines on clients", lines(self.client_lines)),
            ("lines on background", lines(self.background_lines)),
            ("lines on scanners", lines(self.scanner_lines)),
            ("lines on nobody", lines(self.other_lines)),
            ("clients or their networks named", count(clients)),
            ("background sources named", count(background)),
            ("scanners found, of 20", count(self.found.len())),
            (
                "sources named that are no clients, %",
                percent(background + scanners, clients),
            ),
            (
                "sources named that are scanners, %",
                percent(scanners, clients + background),
            ),
        ]
    }

    /// The names of the scanners that no line names.
    pub(crate) fn missed(&self) -> impl Iterator<Item = &'static str> {
        let scanners = SCANNERS.iter().enumerate();
        let missed = scanners.filter(|(index, _)| !self.found.contains(index));
        missed.map(|(_, scanner)| scanner.name)
    }

    /// The rules that name sources which are no scanners: the rule's id, the category, and how many
    /// of it.
    pub(crate) fn blamed(&self) -> impl Iterator<Item = (&str, &'static str, u64)> {
        let blamed = self.blamed.iter();
        blamed.map(|((rule, category), named)| (rule.as_str(), *category, named.len() as u64))
    }
}
