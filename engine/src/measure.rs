//! Parts of a shard without a socket, for the benchmarks beside this crate.
//!
//! [`Handling`] does the work of a shard between a receive and a send: framing, decoding, the
//! admission checks, dispatch, the handler, encoding. It leaves out the kernel, the ring and the
//! timers.

mod registry;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use corelane_protocol::limits::HttpLimits;

use crate::access::AccessControl;
use crate::connection::context::{BufferPool, Context, Rules, StepEffects};
use crate::connection::cors::Cors;
use crate::connection::http::Connection;
use crate::connection::http_settings::HttpSettings;
use crate::connection::request::REFUSAL_WARNING_INTERVAL_MS;
use crate::connection::source::Source;
use crate::guard::origin::OriginPolicy;
use crate::handler::event_queue::EventQueue;
use crate::handler::offload::{OffloadPool, OffloadPort, PoolThreads};
use crate::mcp::{Endpoint, EndpointSettings};
use crate::meter::ShardMeter;
use crate::meter::page::{Page, PageSettings};
use crate::meter::throttle::Throttle;
use crate::profile::Profile;
use crate::server::Server;
use corelane_io::slots::{SlotKey, Slots};

pub use registry::{SessionTable, ToolCatalog, ToolPlan};

/// A connection of a server.
pub struct Handling {
    endpoint: Endpoint,
    connection: Connection,
    access: AccessControl,
    key: SlotKey,
    buffers: BufferPool,
    meter: Rc<ShardMeter>,
    rules: Rules,
}

impl Handling {
    /// A fresh connection of `server` on 127.0.0.1:8080.
    ///
    /// # Panics
    /// When the catalog of `server` is wrong or threads cannot be started: bugs of the benchmark.
    pub fn of(server: Server) -> Handling {
        Handling::counted(server, ShardMeter::new())
    }

    /// The same of a server whose durations are measured, as with a listener for metrics.
    ///
    /// # Panics
    /// As [`Handling::of`] does.
    pub fn measured(server: Server) -> Handling {
        let page = Page::new(Arc::new(PageSettings {
            sets_max: Profile::default().metrics.label_sets_max,
            interval_us: 0,
            names: Arc::default(),
            records: None,
            base: Instant::now(),
        }));
        let meter = ShardMeter::on(Some(&Arc::new(page)));
        meter.start_clock(Instant::now());
        Handling::counted(server, meter)
    }

    fn counted(server: Server, meter: ShardMeter) -> Handling {
        let profile = Profile::default();
        let parts = server.into_parts(&profile).expect("a good catalog");
        let event_queue = Rc::new(EventQueue::new(Arc::new(|| ())));
        let meter = Rc::new(meter);
        let pool =
            OffloadPool::start(PoolThreads::of_server(1, 1), 1).expect("threads can be started");
        let offload = Rc::new(OffloadPort::new(
            pool,
            Arc::new(|| {}),
            Rc::clone(&event_queue),
        ));
        let settings = EndpointSettings::new((0, 1), parts, &profile.for_core(0), 1);
        let no_names: [&str; 0] = [];
        Handling {
            endpoint: Endpoint::new(settings, event_queue, offload, Rc::clone(&meter)),
            connection: Connection::from(Source::default()),
            key: Slots::new(1).insert_at(0, ()),
            buffers: BufferPool {
                input_bytes_max: usize::MAX,
                ..BufferPool::default()
            },
            meter,
            access: AccessControl::new(None, Default::default(), None),
            rules: Rules {
                lines: Default::default(),
                websocket: Default::default(),
                http: HttpLimits::DEFAULT,
                connection: profile.connection,
                origins: vec![
                    OriginPolicy::new(None, &no_names, &no_names).expect("no wrong names"),
                ],
                refusals: Throttle::new(REFUSAL_WARNING_INTERVAL_MS),
                foreign: Throttle::new(REFUSAL_WARNING_INTERVAL_MS),
                user_is_principal: false,
                cors: Cors::default(),
                http_settings: HttpSettings::of(&profile.server),
            },
        }
    }

    /// Handles `request`, one or more whole requests, and gives the answers to `read`.
    ///
    /// # Panics
    /// When there is no answer: the requests were not whole, or their tool waits.
    pub fn answer<T>(&mut self, request: &mut [u8], read: impl FnOnce(&[u8]) -> T) -> T {
        self.endpoint.begin_turn(0, false);
        let mut context = Context {
            endpoint: &mut self.endpoint,
            pool: &mut self.buffers,
            effects: &mut StepEffects::default(),
            access: &mut self.access,
            peer: None,
            recheck_due_ms: None,
            peers: &mut Default::default(),
            meter: &self.meter,
            rules: &self.rules,
            date: b"Sun, 06 Nov 1994 08:49:37 GMT",
            shard: 0,
            key: self.key,
            is_draining: false,
            readiness: &Default::default(),
            is_for_probes: false,
            requests_left: u32::MAX,
            out: None,
        };
        self.connection.received(request, &mut context);
        let out = context.out.take().expect("the requests were whole");
        let value = read(&out);
        self.buffers.chunks.give(out);
        value
    }
}

impl std::fmt::Debug for Handling {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Handling").finish_non_exhaustive()
    }
}
