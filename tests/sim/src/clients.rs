//! Clients, and the balancer in front of the nodes.

use corelane_cluster::frame::{Request, Stage};
use corelane_cluster::id::{Birth, SessionId};
use corelane_cluster::record::Change;

use crate::checks::{Attempt, Known};
use crate::client::{Client, STREAM_EVERY, Work, body};
use crate::event::{AtNode, Event, Response};
use crate::node::seal;
use crate::options::IDLE_S;
use crate::world::World;

/// Seconds until a client gives a request up.
const PATIENCE_US: u64 = 8_000_000;
/// Attempts of one operation.
const TRIES_MAX: u32 = 8;
/// URIs that a client subscribes to at most.
const URIS_MAX: usize = 20;

impl World {
    /// A client begins its next operation.
    pub(crate) fn on_client(&mut self, client: usize) {
        if self.is_quiet || self.clients[client].attempt.is_some() {
            return;
        }
        let Some(key) = self.clients[client].session else {
            return self.initialize(client);
        };
        if self.clients[client].work.is_none() {
            let work = self.choose(client);
            let own = &mut self.clients[client];
            own.work = Some(work);
            own.op = self.next_op;
            own.tries = 0;
            self.next_op += 1;
        }
        self.try_once(client, key, None);
    }

    fn choose(&mut self, client: usize) -> Work {
        let dice = self.people.below(100);
        let own = &mut self.clients[client];
        own.changes += 1;
        let change = match dice {
            0..=17 => return Work::Call,
            18..=24 => return Work::Resume(own.event),
            25..=49 => return Work::Show,
            50 if !self.is_healed || self.people.chance(200) => return Work::Delete,
            50..=60 => Change::Level((own.changes % 200) as u8),
            _ if own.uris.len() >= URIS_MAX || (dice > 90 && !own.uris.is_empty()) => {
                let at = self.people.below(own.uris.len() as u64) as usize;
                Change::Unsubscribe(own.uris.remove(at))
            }
            _ => {
                let uri: Box<str> = format!("u{}", own.changes).into();
                own.uris.push(uri.clone());
                Change::Subscribe(uri)
            }
        };
        Work::Change(change)
    }

    /// `initialize`, which never fails: it is retried until a node takes it.
    fn initialize(&mut self, client: usize) {
        let node = self.any_node();
        let now_us = self.now_us;
        let forwards = self.options.forwards;
        let own = &mut self.nodes[node];
        let now = own.now(now_us);
        let random = (u128::from(self.random.next()) << 64) | u128::from(self.random.next());
        let principal = format!("p{}", client % 7);
        let sealing = own.sealing;
        let is_stopped = own.is_stopped();
        let created = own.core.as_mut().filter(|_| !is_stopped).and_then(|core| {
            let id = SessionId {
                home: core.process(),
                shard: 0,
                random,
            };
            let birth = Birth {
                revision: 1,
                capabilities: 0,
                created_unix_s: now.unix_s,
            };
            let is_made = match forwards {
                true => core.create(now, id, &principal, birth),
                // The host keeps it, and the core hears of it with the first change.
                false => core.stage() == Stage::Alive,
            };
            is_made.then_some((id, core.process()))
        });
        self.drain_outputs(node);
        let Some((id, _)) = created else {
            return self.think(client, 500_000);
        };
        let tail = seal(sealing, &id, &principal, now.unix_s);
        self.checks.sessions.insert(
            random,
            Known {
                id,
                tail,
                principal: principal.into(),
                is_delete_sent: false,
                is_buried: false,
                ended_at: None,
                used_us: now_us,
                served_us: 0,
                may_expire: false,
                pinned: Vec::new(),
                sent: Vec::new(),
                unsure: Vec::new(),
                unstored: Vec::new(),
            },
        );
        self.clients[client] = Client {
            session: Some(random),
            changes: self.clients[client].changes,
            ..Client::default()
        };
        self.think(client, 300_000);
    }

    pub(crate) fn think(&mut self, client: usize, mean_us: u64) {
        let wait_us = 1_000 + self.people.below(2 * mean_us);
        self.after(wait_us, Event::Client(client));
    }

    fn try_once(&mut self, client: usize, key: u128, avoid: Option<usize>) {
        let own = &mut self.clients[client];
        let Some(work) = own.work.clone() else {
            return;
        };
        own.tries += 1;
        let attempt = self.next_attempt;
        self.next_attempt += 1;
        own.attempt = Some(attempt);
        let op = own.op;
        let is_forged = own.tries == 1 && self.people.chance(10);
        let now_us = self.now_us;
        let Some(known) = self.checks.sessions.get_mut(&key) else {
            return;
        };
        known.may_expire |= now_us - known.used_us + PATIENCE_US >= IDLE_S * 1_000_000;
        known.used_us = now_us;
        known.is_delete_sent |= work == Work::Delete && !is_forged;
        let mut request = Box::new(Request {
            session: known.id,
            tail: known.tail,
            principal: known.principal.clone(),
            is_repeatable: matches!(work, Work::Show | Work::Change(_)),
            body: body(attempt, &work),
        });
        if is_forged {
            request.principal = "mallory".into();
        }
        let home = usize::from(known.id.home.node) - 1;
        if let (Work::Change(change), false) = (&work, is_forged) {
            self.checks.on_change_sent(key, change);
        }
        let node = self.balance(home, key, avoid);
        self.checks.attempts.insert(
            attempt,
            Attempt {
                client,
                key,
                op,
                runs: 0,
                was_refused: false,
                node,
                is_forged,
                is_over: false,
            },
        );
        self.after(PATIENCE_US, Event::GiveUp(attempt));
        self.reach(node, attempt, request, true);
    }

    /// A request reaches a node, or its port is closed: then another node gets it.
    fn reach(&mut self, node: usize, attempt: u64, request: Box<Request>, may_redispatch: bool) {
        let own = &self.nodes[node];
        let life = own.life;
        if own.core.is_some() {
            let wait_us = 100 + self.net.below(300);
            let event = AtNode::Request(attempt, request);
            self.after(wait_us, Event::Node(node, life, event));
        } else if own.ghost.is_some() {
            // Nothing answers: the client waits.
        } else if may_redispatch {
            let other = (node + 1 + self.people.below(2) as usize) % self.options.nodes;
            if let Some(known) = self.checks.attempts.get_mut(&attempt) {
                known.node = other;
            }
            self.reach(other, attempt, request, false);
        } else {
            self.answer_client(attempt, Response::Closed);
        }
    }

    /// The node to which the balancer sends a session.
    fn balance(&mut self, home: usize, key: u128, avoid: Option<usize>) -> usize {
        let is_in = |node: usize, world: &World| {
            let is_wrong = world.wrong_balancer[node] > 0;
            world.nodes[node].is_in_balancer != is_wrong && Some(node) != avoid
        };
        if is_in(home, self) {
            return home;
        }
        let all = 0..self.options.nodes;
        let healthy: Vec<usize> = all.filter(|node| is_in(*node, self)).collect();
        let place = (key % 1_009) as usize;
        match healthy.len() {
            0 => self.people.below(self.options.nodes as u64) as usize,
            count => healthy[place % count],
        }
    }

    fn any_node(&mut self) -> usize {
        let key = u128::from(self.people.next());
        self.balance((key % self.options.nodes as u128) as usize, key, None)
    }

    /// Sends the answer of a node to the client.
    pub(crate) fn answer_client(&mut self, attempt: u64, response: Response) {
        self.mix([4, attempt, response as u64]);
        let wait_us = 100 + self.net.below(300);
        self.after(wait_us, Event::Answer(attempt, response));
    }

    pub(crate) fn on_give_up(&mut self, attempt: u64) {
        self.on_answer(attempt, Response::Closed);
    }

    pub(crate) fn on_answer(&mut self, attempt: u64, response: Response) {
        let Some(known) = self.checks.attempts.get_mut(&attempt) else {
            return;
        };
        if std::mem::replace(&mut known.is_over, true) {
            return;
        }
        let (client, key, node) = (known.client, known.key, known.node);
        let is_forged = known.is_forged;
        let name = match response {
            Response::Ok => "ok",
            Response::Missing => "404",
            Response::Busy => "503",
            Response::Failed => "-32603",
            Response::Closed => "closed",
        };
        *self.answers.entry(name).or_default() += 1;
        let own = &mut self.clients[client];
        if own.attempt != Some(attempt) {
            return;
        }
        own.attempt = None;
        // Answers in many parts may flood their reader, and end with an error for that.
        let is_stream = attempt.is_multiple_of(STREAM_EVERY);
        if !is_stream {
            own.last = Some(response);
        }
        let is_change = matches!(own.work, Some(Work::Change(_)));
        let is_late = self.now_us > self.heal_us + 9_000_000 && !is_forged && !is_stream;
        if is_late && matches!(response, Response::Failed | Response::Closed) {
            let text = format!("attempt {attempt} ends with {response:?} long after the faults");
            self.checks.fail("I6", self.now_us, text);
        }
        match response {
            Response::Missing if !is_forged => {
                own.session = None;
                own.work = None;
                return self.think(client, 200_000);
            }
            Response::Busy if own.tries < TRIES_MAX => {
                if own.tries % 2 == 1 && !self.is_quiet {
                    return self.try_once(client, key, Some(node));
                }
                return self.after(1_000_000, Event::Client(client));
            }
            // A change sets a value: to send it again does no harm.
            Response::Failed | Response::Closed if is_change && own.tries < TRIES_MAX => {
                return self.think(client, 300_000);
            }
            _ => {}
        }
        if own.work == Some(Work::Delete) && response == Response::Ok {
            own.session = own.session.filter(|key| key % 2 == 0);
            // Some clients use an id that they have ended.
            own.work = own.session.map(|_| Work::Show);
            own.op = self.next_op;
            self.next_op += 1;
            return self.think(client, 400_000);
        }
        own.work = None;
        let mean_us = if self.people.chance(3) {
            40_000_000
        } else {
            1_000_000
        };
        self.think(client, mean_us);
    }

    /// The balancer checks all nodes: two checks in a row decide.
    pub(crate) fn check_health(&mut self) {
        self.after(500_000, Event::Health);
        self.expire_idle();
        let count = self.options.nodes;
        for own in self.nodes.iter_mut().take(count) {
            let is_running = !own.is_stopped();
            let core = own.core.as_ref().filter(|_| is_running);
            let is_ready = core.is_some_and(|core| core.stage() == Stage::Alive);
            own.checks = match is_ready {
                true => (0, own.checks.1 + 1),
                false => (own.checks.0 + 1, 0),
            };
            if own.checks.0 >= 2 {
                own.is_in_balancer = false;
            } else if own.checks.1 >= 2 {
                own.is_in_balancer = true;
            }
        }
    }
}
