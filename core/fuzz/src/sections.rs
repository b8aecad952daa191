//! Checks of the sections of a reply against the model.

use std::collections::BTreeSet;

use _core::message::query::{AA, TC};
use _core::zone::rrset::{self, Policy};

use super::expected::{Asked, Expected, Link, NOERROR, SERVFAIL};
use super::message::*;
use super::model::{Found, Set};

/// Most targets of an answer whose addresses are added.
const MAX_TARGETS: usize = 64;

/// Checks all sections; the error says which one is wrong, and how.
pub fn check(message: &Message, wanted: &Expected<'_>, asked: &Asked<'_>) -> Result<(), String> {
    let cut = message.flags & TC != 0;
    if let Some(text) = wanted.text {
        return check_text(message, text);
    }
    let [answer, authority, additional] = &message.sections;
    if cut && message.rcode() == NOERROR && answer.len() < wanted.chain.len() {
        // The reply ended among the aliases, before their target was looked up.
        let ended = authority.is_empty() && additional.is_empty();
        let valid = check_chain(answer, &wanted.chain);
        return if ended { valid } else { Err("records after truncated aliases".into()) };
    }
    let aa = message.flags & AA != 0;
    if (message.rcode(), aa) != (wanted.rcode, wanted.aa) {
        let (rcode, wanted_rcode, wanted_aa) = (message.rcode(), wanted.rcode, wanted.aa);
        return Err(format!("rcode {rcode}, AA {aa}; expected {wanted_rcode}, {wanted_aa}"));
    }
    check_answer(message, wanted, asked.now, cut).map_err(|why| format!("answer: {why}"))?;
    check_authority(authority, wanted, cut).map_err(|why| format!("authority: {why}"))?;
    check_additional(message, asked).map_err(|why| format!("additional: {why}"))?;
    if cut { Ok(()) } else { check_glue(message, wanted, asked) }
}

fn check_text(message: &Message, text: &[u8]) -> Result<(), String> {
    let [answer, authority, additional] = &message.sections;
    let rdata = [&[text.len() as u8], text].concat();
    let right = match &answer[..] {
        [record] => (record.rtype, record.class, record.ttl, &record.rdata) == (TXT, 3, 0, &rdata),
        // A long text does not fit beside a long NSID.
        records => {
            let failed = message.rcode() == SERVFAIL || message.flags & TC != 0;
            records.is_empty() && failed && text.len() > 150
        }
    };
    let right = right && authority.is_empty() && additional.is_empty();
    if right { Ok(()) } else { Err("wrong text of the server".into()) }
}

fn check_answer(
    message: &Message, wanted: &Expected<'_>, now: u64, cut: bool,
) -> Result<(), String> {
    let answer = &message.sections[0];
    let spelled = |first: &Record| match (&message.questions[0].0, first.rtype) {
        (question, DNAME) => question.ends_with(&first.owner),
        (question, _) => *question == first.owner,
    };
    if answer.first().is_some_and(|first| !spelled(first)) {
        return Err("the owner is not spelled as in the question".into());
    }
    let length = if wanted.rcode == SERVFAIL { 0 } else { wanted.chain.len() };
    let Some((chain, rest)) = answer.split_at_checked(length) else {
        return Err(format!("{} records, expected {length} aliases", answer.len()));
    };
    check_chain(chain, &wanted.chain)?;
    let rest: Vec<&Record> = rest.iter().collect();
    let Some((name, owner, zone, rtype)) = &wanted.found else {
        return if rest.is_empty() {
            Ok(())
        } else {
            Err("records of a name that does not exist".into())
        };
    };
    let rtype = if *rtype == ANY { rest.first().map_or(A, |first| first.rtype) } else { *rtype };
    match zone.get(owner, rtype, now) {
        Some(set) => check_set(&rest, name, rtype, set, cut),
        None if rest.is_empty() && cut => Ok(()),
        None => Err(format!("no RRset of type {rtype} in the zone")),
    }
}

/// Checks CNAME and DNAME records; the last ones may be missing.
fn check_chain(records: &[Record], chain: &[Link]) -> Result<(), String> {
    for (record, Link { owner, rtype, set, made }) in records.iter().zip(chain) {
        let mut record = record.clone();
        if *made {
            record.rdata.make_ascii_lowercase();
        }
        check_set(&[&record], owner, *rtype, set, false)?;
    }
    Ok(())
}

fn check_authority(authority: &[Record], wanted: &Expected<'_>, cut: bool) -> Result<(), String> {
    let Some((owner, rtype, set)) = &wanted.authority else {
        return if authority.is_empty() { Ok(()) } else { Err("expected no records".into()) };
    };
    let records: Vec<&Record> = authority.iter().collect();
    if *rtype != SOA {
        return check_set(&records, owner, *rtype, set, cut);
    }
    let minimum = set.rdatas[0].last_chunk().map_or(0, |last| u32::from_be_bytes(*last));
    let denial = Set { ttl: set.ttl.min(minimum), ..(*set).clone() };
    check_set(&records, owner, *rtype, &denial, cut)
}

/// Checks records of an RRset: as many as its policy selects, or fewer if the reply was truncated.
fn check_set(
    records: &[&Record], owner: &Labels, rtype: u16, set: &Set, cut: bool,
) -> Result<(), String> {
    let wanted = match set.policy {
        _ if !rrset::has_policy(rtype) => set.rdatas.len(),
        Policy::All => set.rdatas.len(),
        Policy::Subset => usize::from(set.k.max(1)).min(set.rdatas.len()),
        Policy::One | Policy::Rotate | Policy::Sticky => 1,
    };
    if records.len() > wanted || (records.len() < wanted && !cut) {
        return Err(format!("{} records of type {rtype}, expected {wanted}", records.len()));
    }
    let known: BTreeSet<&[u8]> = set.rdatas.iter().map(Vec::as_slice).collect();
    let mut seen = BTreeSet::new();
    for record in records {
        let right = labels(&record.owner) == *owner
            && (record.rtype, record.class, record.ttl) == (rtype, 1, set.ttl)
            && known.contains(&record.rdata[..])
            && seen.insert(&record.rdata);
        if !right {
            return Err(format!("{record:02x?} does not belong to {owner:02x?}, or is repeated"));
        }
    }
    Ok(())
}

/// Returns the host that a record names, whose addresses may be added.
fn target(record: &Record) -> Option<Labels> {
    let name = match record.rtype {
        NS => &record.rdata[..],
        MX | SVCB | HTTPS => &record.rdata[2..],
        SRV => &record.rdata[6..],
        _ => return None,
    };
    let own = name[0] == 0 && matches!(record.rtype, SVCB | HTTPS);
    Some(labels(if own { &record.owner } else { name }))
}

fn targets(message: &Message) -> BTreeSet<Labels> {
    message.sections[..2].iter().flatten().filter_map(target).collect()
}

/// Checks that the additional records are addresses of targets, as whole RRsets, each once.
fn check_additional(message: &Message, asked: &Asked<'_>) -> Result<(), String> {
    let targets = targets(message);
    let mut rest: Vec<&Record> = message.sections[2].iter().collect();
    while let Some(first) = rest.first() {
        let (owner, rtype) = (labels(&first.owner), first.rtype);
        let (same, others): (Vec<_>, Vec<_>) =
            rest.iter().partition(|record| labels(&record.owner) == owner && record.rtype == rtype);
        if !targets.contains(&owner) || ![A, AAAA].contains(&rtype) {
            return Err(format!("unrelated type {rtype} of {owner:02x?}"));
        }
        let Some(set) = address(&owner, rtype, asked) else {
            return Err(format!("type {rtype} of {owner:02x?} is not in the zones"));
        };
        check_set(&same, &owner, rtype, set, false)?;
        rest = others;
    }
    Ok(())
}

/// Returns the addresses of a name, glue included, unless it is below a DNAME.
fn address<'m>(name: &Labels, rtype: u16, asked: &Asked<'m>) -> Option<&'m Set> {
    let zone = asked.model.zone(name, A)?;
    if let Found::Redirect(_) = zone.look_up(name, A, asked.now) {
        return None;
    }
    if let Some(set) = zone.get(name, rtype, asked.now) {
        return Some(set);
    }
    match zone.look_up(name, rtype, asked.now) {
        Found::Answer(owner) => zone.get(&owner, rtype, asked.now),
        _ => None,
    }
}

/// Checks that no glue is missing without TC (RFC 9471 section 3).
fn check_glue(message: &Message, wanted: &Expected<'_>, asked: &Asked<'_>) -> Result<(), String> {
    let Some((cut, NS, _)) = &wanted.authority else { return Ok(()) };
    let targets = targets(message);
    for name in targets.iter().filter(|name| name.starts_with(cut)) {
        for rtype in [A, AAAA] {
            let zone = asked.model.zone(name, A);
            let glue = zone.is_some_and(|zone| zone.get(name, rtype, asked.now).is_some());
            let fits = |record: &Record| record.rtype == rtype && labels(&record.owner) == *name;
            if glue && targets.len() <= MAX_TARGETS && !message.sections[2].iter().any(fits) {
                return Err(format!("glue of type {rtype} for {name:02x?} is missing"));
            }
        }
    }
    Ok(())
}
