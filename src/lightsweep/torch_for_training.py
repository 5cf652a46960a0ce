"""torch as a training needs it, to be imported before anything else imports torch."""

from lightsweep.late_metas import import_torch_without

import_torch_without()
