//! The Python module, as documented in `_core.pyi`.

mod feed;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_epoch as epoch;
use pyo3::exceptions::{PyKeyError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyString};

use crate::answer::Responder;
use crate::counters::NAMES;
use crate::histogram::{BOUNDS, Durations};
use crate::message::wire::{MAX_MESSAGE, MAX_NAME, Name};
use crate::net::listen::{Listeners, random};
use crate::net::udp;
use crate::networks::Networks;
use crate::options::{Options, UDP_SIZE};
use crate::rdata_text;
use crate::request::{RequestContext, Transport, clock};
use crate::shared::Shared;
use crate::zone::declared::State;
use crate::zone::rrset::{self, Policy};
use crate::zone::zones::Change;
use crate::zone_counters::RCODES;
use crate::zonefile;
use feed::Feed;

/// The name server.
#[pyclass(frozen)]
struct Core {
    shared: Arc<Shared>,
    listeners: Mutex<Listeners>,
    /// Answers queries from Python.
    responder: Mutex<Responder>,
    /// Does the same without being counted.
    prober: Mutex<Responder>,
    /// Signs cookies if no secret is configured.
    secret: [u8; 16],
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a ValueError.
fn invalid(text: impl Into<String>) -> PyErr {
    PyValueError::new_err(text.into())
}

fn networks(name: &str, texts: &[String]) -> PyResult<Networks> {
    Networks::parse(texts).map_err(|reason| invalid(format!("{name}: {reason}")))
}

#[pymethods]
impl Core {
    #[new]
    fn new() -> PyResult<Core> {
        let shared = Arc::new(Shared::new(random()?));
        let listeners = Listeners::new(shared.clone())?;
        let responder = Mutex::new(Responder::new(shared.zones.workers.new_counters(), random()?));
        let prober = Mutex::new(Responder::new(Arc::default(), random()?));
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|error| PyOSError::new_err(error.to_string()))?;
        let options = Options { cookies: true, secrets: vec![secret], ..Options::default() };
        shared.configure(options);
        Ok(Core { shared, listeners: Mutex::new(listeners), responder, prober, secret })
    }

    #[pyo3(signature = (*, version=String::new(), server_id=String::new(), udp_size=UDP_SIZE,
        allow=vec!["0.0.0.0/0".into(), "::/0".into()], proxy_from=vec![], ecs_from=vec![],
        cookies=true, cookie_secrets=vec![], rate_limit=0, rate_slip=2, rate_exempt=vec![],
        tcp_clients=1000, tcp_idle=10.0))]
    #[allow(clippy::too_many_arguments)]
    fn configure(
        &self, version: String, server_id: String, udp_size: usize, allow: Vec<String>,
        proxy_from: Vec<String>, ecs_from: Vec<String>, cookies: bool,
        cookie_secrets: Vec<PyBackedBytes>, rate_limit: u32, rate_slip: u32,
        rate_exempt: Vec<String>, tcp_clients: usize, tcp_idle: f64,
    ) -> PyResult<()> {
        if !(512..=udp::ANSWER_SIZE).contains(&udp_size) {
            return Err(invalid(format!(
                "udp_size: {udp_size} is out of range: expected 512 to 4096"
            )));
        }
        if version.len() > 255 || server_id.len() > 255 {
            return Err(invalid("version, server_id: expected at most 255 bytes"));
        }
        if rate_limit > 1_000_000 {
            return Err(invalid(format!(
                "rate_limit: {rate_limit} is out of range: expected at most 1000000"
            )));
        }
        let mut secrets = Vec::new();
        for secret in &cookie_secrets {
            let secret = <[u8; 16]>::try_from(&secret[..]);
            secrets.push(secret.map_err(|_| invalid("cookie_secrets: expected 16 bytes each"))?);
        }
        if secrets.is_empty() {
            secrets.push(self.secret);
        }
        let tcp_idle = Duration::try_from_secs_f64(tcp_idle)
            .map_err(|_| invalid(format!("tcp_idle: {tcp_idle} is not a number of seconds")))?;
        self.shared.configure(Options {
            version: version.into(),
            server_id: server_id.into(),
            udp_size,
            allow: networks("allow", &allow)?,
            proxy_from: networks("proxy_from", &proxy_from)?,
            ecs_from: networks("ecs_from", &ecs_from)?,
            cookies,
            secrets,
            rate_limit,
            rate_slip,
            rate_exempt: networks("rate_exempt", &rate_exempt)?,
            tcp_clients,
            tcp_idle,
        });
        Ok(())
    }

    fn listen(
        &self, py: Python<'_>, addresses: Vec<String>, workers: usize,
    ) -> PyResult<Vec<String>> {
        let read = |text: &String| {
            text.parse().map_err(|_| {
                invalid(format!("{text:?} is not an address: expected 127.0.0.1:53 or [::1]:53"))
            })
        };
        let addresses: Vec<SocketAddr> = addresses.iter().map(read).collect::<PyResult<_>>()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if workers == 0 { cores } else { workers };
        let bound = py.detach(|| lock(&self.listeners).listen(&addresses, workers))?;
        Ok(bound.iter().map(SocketAddr::to_string).collect())
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| lock(&self.listeners).close());
    }

    fn set_zone(&self, apex: &[u8]) -> PyResult<()> {
        if self.shared.zones.add(apex) {
            Ok(())
        } else {
            Err(invalid("the apex is not a valid wire name"))
        }
    }

    fn drop_zone(&self, py: Python<'_>, apex: PyBackedBytes) {
        py.detach(|| self.shared.zones.drop_zone(&apex));
    }

    fn set_state(&self, apex: &[u8], state: u8) -> PyResult<()> {
        let state = State::try_from(state).map_err(invalid)?;
        let known = self.shared.zones.set_state(apex, state);
        if known { Ok(()) } else { Err(PyKeyError::new_err(apex.to_vec())) }
    }

    fn set_wildcard_queries(
        &self, py: Python<'_>, apex: PyBackedBytes, wanted: bool,
    ) -> PyResult<()> {
        let known = py.detach(|| self.shared.zones.set_wildcard_queries(&apex, wanted));
        if known { Ok(()) } else { Err(PyKeyError::new_err(apex.to_vec())) }
    }

    fn live_until(&self, time: u64) {
        self.shared.set_live_until(time);
    }

    fn apply(
        &self, py: Python<'_>,
        batch: Vec<(PyBackedBytes, PyBackedBytes, u16, Option<PyBackedBytes>)>,
    ) -> Vec<(usize, String)> {
        py.detach(|| {
            let changes: Vec<Change<'_>> = batch
                .iter()
                .map(|(zone, owner, rtype, rrset)| {
                    (&zone[..], &owner[..], *rtype, rrset.as_deref())
                })
                .collect();
            self.shared.zones.apply(&changes)
        })
    }

    fn occluded<'py>(
        &self, py: Python<'py>, apex: PyBackedBytes, most: usize, has_deeper: bool,
    ) -> (usize, Vec<(Bound<'py, PyBytes>, u16)>) {
        let zones = &self.shared.zones;
        let (count, found) =
            py.detach(|| zones.occluded(&apex, most, has_deeper, clock().boot, &epoch::pin()));
        let row = |(owner, rtype): (Vec<u8>, u16)| (PyBytes::new(py, &owner), rtype);
        (count, found.into_iter().map(row).collect())
    }

    fn matching<'py>(
        &self, py: Python<'py>, question: &[u8], most: usize,
    ) -> PyResult<Option<Vec<Bound<'py, PyBytes>>>> {
        let name = Name::read(question).ok_or_else(|| invalid("the question is no wire name"))?;
        let found = self.shared.zones.matching(&name, most, clock().boot, &epoch::pin());
        Ok(found.map(|names| names.iter().map(|name| PyBytes::new(py, name)).collect()))
    }

    #[pyo3(signature = (query, client="127.0.0.1", tcp=false))]
    fn answer<'py>(
        &self, py: Python<'py>, query: &[u8], client: &str, tcp: bool,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        self.respond(py, &self.responder, query, client, transport)
    }

    fn probe<'py>(
        &self, py: Python<'py>, query: &[u8], client: &str,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.respond(py, &self.prober, query, client, Transport::Tcp)
    }

    fn counters(&self) -> HashMap<&'static str, u64> {
        let workers = &self.shared.zones.workers;
        let mut counters: HashMap<_, _> = NAMES.iter().copied().zip(workers.sums()).collect();
        counters.insert("tcp_open", lock(&self.listeners).tcp_open() as u64);
        counters
    }

    fn durations(&self) -> Vec<(&'static str, Vec<u64>, u64)> {
        let row = |(name, transport)| {
            let Durations { buckets, total } = self.shared.zones.workers.durations(transport);
            (name, buckets.to_vec(), total)
        };
        [("tcp", Transport::Tcp), ("udp", Transport::Udp)].map(row).into()
    }

    fn tap(&self, old: Option<PyRef<'_, Feed>>, new: Option<PyRef<'_, Feed>>) {
        let old = old.as_ref().map(|old| &old.writer.feed);
        self.shared.tap.replace(old, new.map(|new| new.writer.feed.clone()));
    }

    fn tapped(&self) -> HashMap<&'static str, u64> {
        feed::totals(&self.shared.tap)
    }

    fn zone_queries<'py>(
        &self, py: Python<'py>,
    ) -> Vec<(Bound<'py, PyBytes>, [u64; RCODES.len()])> {
        let queries = py.detach(|| self.shared.zones.queries());
        queries.into_iter().map(|(apex, counts)| (PyBytes::new(py, &apex), counts)).collect()
    }

    fn zones<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, u8, usize, usize)> {
        let row = |(apex, state, names, memory): (Vec<u8>, State, usize, usize)| {
            (PyBytes::new(py, &apex), state as u8, names, memory)
        };
        self.shared.zones.summary().into_iter().map(row).collect()
    }
}

impl Core {
    fn respond<'py>(
        &self, py: Python<'py>, responder: &Mutex<Responder>, query: &[u8], client: &str,
        transport: Transport,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let client: IpAddr =
            client.parse().map_err(|_| invalid(format!("client: {client:?} is not an address")))?;
        let size = if transport == Transport::Tcp { MAX_MESSAGE } else { udp::ANSWER_SIZE };
        let mut buffer = vec![0; size];
        let guard = &epoch::pin();
        let context = RequestContext::new(&self.shared, clock(), guard);
        let outcome = lock(responder).respond(context, query, client, transport, &mut buffer);
        Ok(outcome.answer(&buffer).map(|answer| PyBytes::new(py, answer)))
    }
}

/// The contents of a zone file.
#[pyclass(frozen)]
struct ZoneFile {
    #[pyo3(get)]
    rrsets: Py<PyAny>,
    #[pyo3(get)]
    foreign: Py<PyAny>,
    #[pyo3(get)]
    problems: Vec<(String, u32, String)>,
    #[pyo3(get)]
    files: Vec<String>,
    #[pyo3(get)]
    unread: Vec<String>,
    #[pyo3(get)]
    cut: Vec<String>,
}

#[pyfunction]
fn read_zone(
    py: Python<'_>, path: String, origin: PyBackedBytes, default_ttl: u32,
) -> PyResult<ZoneFile> {
    let parsed = py.detach(|| zonefile::read_zone(path.as_ref(), &origin, default_ttl))?;
    zone_file(py, parsed)
}

#[pyfunction]
fn parse_zone(
    py: Python<'_>, text: PyBackedBytes, origin: PyBackedBytes, default_ttl: u32,
) -> PyResult<ZoneFile> {
    let why = "not allowed, because it reads files of the server: use one file";
    let mut include = |_: &str| Err(io::Error::other(why));
    let parsed = py.detach(|| zonefile::parse(&text, "", &origin, default_ttl, &mut include));
    zone_file(py, parsed)
}

fn zone_file(py: Python<'_>, parsed: zonefile::Parsed) -> PyResult<ZoneFile> {
    let rrsets: Vec<_> = parsed
        .rrsets
        .iter()
        .map(|(owner, rtype, packed)| (PyBytes::new(py, owner), *rtype, PyBytes::new(py, packed)))
        .collect();
    let foreign: Vec<_> = parsed
        .foreign
        .into_iter()
        .map(|(file, line, origin, owner, ttl, rtype, text)| {
            (file, line, PyBytes::new(py, &origin), PyBytes::new(py, &owner), ttl, rtype, text)
        })
        .collect();
    Ok(ZoneFile {
        rrsets: rrsets.into_pyobject(py)?.into_any().unbind(),
        foreign: foreign.into_pyobject(py)?.into_any().unbind(),
        problems: parsed.problems,
        files: parsed.files,
        unread: parsed.unread,
        cut: parsed.cut,
    })
}

#[pyfunction]
fn pack_records<'py>(
    py: Python<'py>, ttl: u32, rtype: u16, rdatas: Vec<(u16, PyBackedBytes)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let records: Vec<(u16, &[u8])> =
        rdatas.iter().map(|(weight, rdata)| (*weight, &rdata[..])).collect();
    let packed = rrset::pack(ttl, &records);
    rrset::compile(rtype, &packed, &mut Vec::new()).map_err(invalid)?;
    Ok(PyBytes::new(py, &packed))
}

/// Returns rdata with its names in lower case.
#[pyfunction]
fn fold_rdata<'py>(py: Python<'py>, rtype: u16, rdata: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &rdata_text::folded(rtype, rdata))
}

/// Returns the wire form of a name in text.
#[pyfunction]
fn name_from_text<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyBytes>> {
    // A lone surrogate is not ASCII: its replacement is rejected for the right reason.
    let wire = rdata_text::name_from_text(&text.to_string_lossy()).map_err(invalid)?;
    Ok(PyBytes::new(text.py(), &wire))
}

/// Returns the text of a name in wire form.
#[pyfunction]
fn name_to_text(wire: &[u8]) -> PyResult<String> {
    if let Err(why) = rdata_text::check_name(wire) {
        let shown = wire[..wire.len().min(MAX_NAME)].escape_ascii();
        return Err(invalid(format!("b\"{shown}\" is not a valid wire name: {why}")));
    }
    Ok(rdata_text::name_to_text(wire))
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("POLICY_ALL", Policy::All as u8)?;
    module.add("POLICY_ONE", Policy::One as u8)?;
    module.add("POLICY_ROTATE", Policy::Rotate as u8)?;
    module.add("POLICY_STICKY", Policy::Sticky as u8)?;
    module.add("POLICY_SUBSET", Policy::Subset as u8)?;
    module.add("STATE_LIVE", State::Live as u8)?;
    module.add("STATE_LOADING", State::Loading as u8)?;
    module.add("STATE_STALE", State::Stale as u8)?;
    module.add("STATE_RESTORING", State::Restoring as u8)?;
    module.add("ZONE_RCODES", RCODES.to_vec())?;
    module.add("DURATION_BOUNDS", BOUNDS.to_vec())?;
    module.add_class::<Core>()?;
    module.add_class::<ZoneFile>()?;
    module.add_class::<Feed>()?;
    module.add_function(wrap_pyfunction!(read_zone, module)?)?;
    module.add_function(wrap_pyfunction!(parse_zone, module)?)?;
    module.add_function(wrap_pyfunction!(pack_records, module)?)?;
    module.add_function(wrap_pyfunction!(fold_rdata, module)?)?;
    module.add_function(wrap_pyfunction!(name_from_text, module)?)?;
    module.add_function(wrap_pyfunction!(name_to_text, module)?)?;
    Ok(())
}
