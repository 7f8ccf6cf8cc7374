<?php

define('APP_VER', '6.0.6');
