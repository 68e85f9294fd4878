//! The exchange of tokens of clients on the thread of upstreams.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Control;
use super::exchanged::{ExchangeStep, Outcome};
use crate::guard::subject::{SubjectKey, SubjectToken};
use crate::upstream::board::{ExchangeAnswer, ExchangeRequest, GrantFault, Granted};

impl Control {
    /// A shard needs a token for which that of a client is exchanged.
    pub(super) fn handle_exchange(&mut self, request: &ExchangeRequest) {
        let (instance, key) = (request.instance, request.subject.key());
        let life = request.subject.expires_s().map(|expires_s| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            Duration::from_secs(expires_s).saturating_sub(now.unwrap_or_default())
        });
        let of = (request.shard, request.before);
        let now = Instant::now();
        let step = self
            .exchanges
            .handle_request((instance, key), of, life, now);
        match step {
            ExchangeStep::Answer(outcome) => {
                let of = (request.upstream, instance, key);
                self.answer_exchange(request.shard, of, &outcome);
            }
            ExchangeStep::Wait => {}
            ExchangeStep::Begin => {
                if let Err(text) = self.begin_exchange(request.upstream, instance, &request.subject)
                {
                    let fault = GrantFault {
                        is_refused: false,
                        text,
                    };
                    self.handle_exchanged((request.upstream, instance, key), Err(fault));
                }
            }
        }
    }

    /// The token of a client was exchanged, or was not.
    pub(super) fn handle_exchanged(
        &mut self,
        (upstream, instance, key): (u16, u64, SubjectKey),
        granted: Result<Granted, GrantFault>,
    ) {
        if let Err(fault) = &granted {
            let name = self
                .instances
                .used(upstream)
                .filter(|it| it.id() == instance);
            let name = name.map_or_else(|| "".into(), |it| Arc::clone(it.name()));
            let fault = &*fault.text;
            tracing::warn!(
                upstream = &*name,
                fault,
                "the token of a client is not exchanged"
            );
        }
        let now = Instant::now();
        let exchanged = self
            .exchanges
            .handle_exchanged((instance, key), granted, now);
        let (shards, outcome) = exchanged;
        for shard in shards {
            self.answer_exchange(shard, (upstream, instance, key), &outcome);
        }
    }

    /// Forgets the tokens for upstreams that are not served any more.
    pub(super) fn forget_exchanged(&mut self) {
        let numbers = self.instances.numbers();
        let served = numbers.filter_map(|number| Some(self.instances.used(number)?.id()));
        let served: Vec<u64> = served.collect();
        self.exchanges.retain(|instance| served.contains(&instance));
    }

    fn answer_exchange(
        &self,
        shard: u16,
        (upstream, instance, key): (u16, u64, SubjectKey),
        outcome: &Outcome,
    ) {
        let answer = ExchangeAnswer {
            upstream,
            instance,
            key,
            result: outcome.clone(),
        };
        self.board.leave_exchanged(shard, answer);
        self.shards[usize::from(shard)].wake();
    }

    #[cfg(feature = "auth")]
    fn begin_exchange(
        &mut self,
        upstream: u16,
        instance: u64,
        subject: &SubjectToken,
    ) -> Result<(), String> {
        use corelane_oauth::exchange::Exchanger;

        use crate::upstream::board::ControlEvent;

        let of = self
            .instances
            .used(upstream)
            .filter(|it| it.id() == instance);
        let exchange = of.and_then(|it| it.credential.as_ref()?.exchange());
        let Some(exchange) = exchange.map(|source| Arc::clone(&source.0)) else {
            return Err("the upstream is not served any more".to_owned());
        };
        let exchanger = match &self.exchanger {
            Some(exchanger) => exchanger,
            None => {
                let started = Exchanger::start().map_err(|error| error.to_string())?;
                self.exchanger.insert(started)
            }
        };
        let (events, key) = (self.events.clone(), subject.key());
        let on_exchanged = move |granted| {
            let granted = super::credential::granted_of(granted);
            // The control side may have ended.
            let _ = events.send(ControlEvent::Exchanged(upstream, instance, key, granted));
        };
        exchanger.request(exchange, subject.text().clone(), Box::new(on_exchanged));
        Ok(())
    }

    #[cfg(not(feature = "auth"))]
    #[expect(clippy::unused_self, reason = "no upstream has this credential")]
    fn begin_exchange(&mut self, _: u16, _: u64, _: &SubjectToken) -> Result<(), String> {
        Err("this build exchanges no tokens".to_owned())
    }
}
