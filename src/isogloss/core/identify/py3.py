"""py3langid behind our contract (Barbaresi; Lui and Baldwin 2012), and whether a text fits the language it names.

The model that comes with py3langid knows some 140 languages and says one of them of any text. What it knows of a
language is a distribution over byte n-grams, so how well a text should fit is known without any text: its mean score
should be near the entropy of that distribution. How far off it may be, together with n-grams that the language never
has, n-grams a byte, and the lead over the second, was learned as in `chars`, by hiding languages (`WEIGHTS`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from isogloss.core.identify.grams import pieces
from isogloss.core.identify.letters import alone, fits_script
from isogloss.core.identify.reading import Reading

if TYPE_CHECKING:
    import numpy as np

# The weights of over, never, density and lead, and a constant; and what scores are multiplied with:
# tools/make_langid.py prints both.
WEIGHTS = (3.845, -14.129, 1.627, 2.245, -0.677)
HEAT = 2.17
# The lead where no other language is written so: halfway between that of known and of hidden languages, for that says nothing.
ALONE = 0.4
# A text of as many bytes has half the say of a long one.
SHORT = 60
# Scripts that the model was trained on beside the usual one of a language.
ALSO = {"srp_Cyrl": ("srp_Latn",), "uzn_Latn": ("uzn_Cyrl",), "zho_Hans": ("zho_Hant",)}


@cache
def packaged() -> Py3:
    """The model that comes with py3langid."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return Py3(LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True))


@dataclass(frozen=True)
class Py3:
    """A model of py3langid as an identifier."""

    model: Any
    name: str = "py3langid"

    @cached_property
    def _columns(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The tags, and for each the number of its language among the labels; labels of no language have none."""
        from isogloss.core.errors import DataError
        from isogloss.core.lang import resolve

        tags: dict[str, int] = {}
        for place, label in enumerate(self.model.nb_classes):
            try:
                tag = resolve(label).tag
            except DataError:  # zxx: no language
                continue
            for each in (tag, *ALSO.get(tag, ())):
                tags.setdefault(each, place)
        import numpy as np

        names = tuple(sorted(tags))
        return names, np.array([tags[name] for name in names])

    @property
    def tags(self) -> tuple[str, ...]:
        return self._columns[0]

    @cached_property
    def _usual(self) -> tuple[np.ndarray, np.ndarray]:
        """The entropy of each label's distribution, and the lowest log p of each: what it has never seen."""
        import numpy as np

        table = self.model.nb_ptc.astype(np.float32)
        p = np.exp(table)
        return (p * table).sum(0) / p.sum(0), table.min(0) + 0.02

    def scores(self, text: str) -> tuple[np.ndarray, np.ndarray, float, np.ndarray] | None:
        """Of one text: the score of each label, the rows of its n-grams, their total weight and their weights."""
        import numpy as np
        from py3langid.langid import visit_counts

        model = self.model
        seen = visit_counts(model.tk_nextmove, model._rowbase, model.tk_output, model._encode(pieces(text)))
        if not seen:
            return None
        rows = model.nb_ptc[np.fromiter(seen.keys(), np.intp, len(seen))].astype(np.float32)
        weight = np.log1p(np.fromiter(seen.values(), np.float32, len(seen)))
        return weight @ rows + model.nb_pc, rows, float(weight.sum()), weight

    def signs(self, texts: Sequence[str], among: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scores by tag (N, L) over the root of the length, and the signs (N, 4) that the best of them is right."""
        import numpy as np

        tags, columns = self._columns
        allowed = fits_script(texts, tags) & np.array([among is None or tag in among for tag in tags], dtype=bool)
        entropy, never = self._usual
        totals = np.full((len(texts), len(tags)), -np.inf)
        signs = np.zeros((len(texts), 4))
        for i, text in enumerate(texts):
            found = self.scores(text) if allowed[i].any() else None
            if found is None:
                continue
            score, rows, total, weight = found
            n_bytes = len(text.encode("utf-8", "surrogatepass"))
            own = np.where(allowed[i], score[columns], -np.inf)
            first = columns[own.argmax()]
            others = own[columns != first]
            rival = others.max(initial=-np.inf)
            lead = (own.max() - rival) / total if np.isfinite(rival) else ALONE
            over = float(weight @ rows[:, first]) / total - entropy[first]
            unseen = float(weight @ (rows[:, first] <= never[first])) / total
            read = min(n_bytes, len(pieces(text).encode("utf-8", "surrogatepass")))
            shrink = read / (read + SHORT)
            signs[i] = (over, unseen, total / max(1, read), min(lead, 2.0))
            signs[i] *= shrink
            totals[i] = own / math.sqrt(read)
        return totals, signs

    def read(self, texts: Sequence[str], among: Sequence[str] | None = None) -> Reading:
        """What it says of texts; `among` are the only languages that it may name."""
        import numpy as np

        from isogloss.core.identify.chars import softmax

        totals, signs = self.signs(texts, among)
        nothing = ~np.isfinite(totals).any(1)
        odds = signs @ np.array(WEIGHTS[:-1]) + WEIGHTS[-1]
        odds += np.where(np.isfinite(totals).sum(1) == 1, alone(self.tags)[totals.argmax(1)], 0)
        probs, fits = softmax(totals * HEAT), 1 / (1 + np.exp(-odds))
        probs[nothing], fits[nothing] = 0, 0
        return Reading(self.tags, probs, fits)
